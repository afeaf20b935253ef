import { CfsError } from "../../../errors.ts";
import { diffSide } from "../../../oci/diff.ts";
import { acquireJobs } from "../../../parallel/jobs.ts";
import { DIFF_FIELDS, type Difference, type DiffField, diffTrees } from "../../../tree/diff.ts";
import { type DiffSide, knownReason } from "../../../tree/diff-reasons.ts";
import { bytesText } from "../../../tree/diff-text.ts";
import { parseXattrFilter } from "../../../tree/transform.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** Exit code for "they differ", which is no failure. */
const DIFFERENT = 1;

interface Explained {
  readonly difference: Difference;
  readonly reason: string | undefined;
}

/** `cfsctl oci diff EXPECTED FOUND` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const ignore = ignoredFields(args.list("ignore"));
  using repository = openRepository(context);
  using jobs = acquireJobs(context.globals.jobs);
  const options = {
    xattrs: parseXattrFilter(args.text("xattrs")!),
    jobs: jobs.count,
    progress: context.progress,
  };
  const expected = await diffSide(repository, args.required("EXPECTED"), options);
  const found = await diffSide(repository, args.required("FOUND"), options);
  const { algorithm } = repository;
  const differences = explained(
    diffTrees(expected.root, found.root, { algorithm, ignore }),
    expected,
    found,
    args.flag("ignore-known"),
  );
  const count = args.flag("json") ? printJson(context, differences) : printLines(context, differences);
  if (count > 0) process.exitCode = DIFFERENT;
}

/** @param texts lists of fields, separated by commas. */
function ignoredFields(texts: readonly string[]): ReadonlySet<DiffField> {
  const fields = new Set<DiffField>();
  for (const text of texts.flatMap((list) => list.split(","))) {
    const name = text === "xattrs" ? "xattr" : text;
    const field = DIFF_FIELDS.find((known) => known === name);
    if (field === undefined) {
      throw new CfsError("Usage", `invalid value '${text}' for '--ignore': no such field`, {
        hint: `the fields are ${DIFF_FIELDS.join(", ")}`,
      });
    }
    fields.add(field);
  }
  return fields;
}

function* explained(
  differences: Iterable<Difference>,
  expected: DiffSide,
  found: DiffSide,
  ignoreKnown: boolean,
): Generator<Explained> {
  for (const difference of differences) {
    const reason = knownReason(difference, expected, found);
    if (reason === undefined || !ignoreKnown) yield { difference, reason };
  }
}

/** One line each, with tabs between the columns; nothing at all when there are none. */
function printLines({ out }: Context, differences: Iterable<Explained>): number {
  let count = 0;
  for (const { difference, reason } of differences) {
    const { path, field, xattr, expected = "-", found = "-" } = difference;
    if (count++ === 0) out.line("ENTRY\tFIELD\tEXPECTED\tFOUND\tKNOWN REASON");
    const name = xattr === undefined ? field : `${field} ${bytesText(xattr)}`;
    out.line([bytesText(path), name, expected, found, ...(reason === undefined ? [] : [reason])].join("\t"));
  }
  return count;
}

/** One document, one difference a line, written as they are found. */
function printJson({ out }: Context, differences: Iterable<Explained>): number {
  let count = 0;
  out.text('{\n  "differences": [');
  for (const { difference, reason } of differences) {
    const { path, field, xattr, expected, found } = difference;
    const entry = {
      entry: bytesText(path),
      field,
      ...(xattr !== undefined && { xattr: bytesText(xattr) }),
      expected: expected ?? null,
      found: found ?? null,
      known_reason: reason ?? null,
    };
    out.text(`${count++ === 0 ? "" : ","}\n    ${JSON.stringify(entry)}`);
  }
  out.line(`${count === 0 ? "" : "\n  "}],\n  "count": ${count},\n  "equal": ${count === 0}\n}`);
  return count;
}
