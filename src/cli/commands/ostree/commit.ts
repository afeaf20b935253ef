import { CfsError, describeError } from "../../../errors.ts";
import { type Checksum, isChecksum, parseChecksum } from "../../../ostree/checksum.ts";
import { commitTree, type MadeCommit } from "../../../ostree/commit/commit-tree.ts";
import { cleanXattrNames, hasPlainXattrNames, readImageTree } from "../../../ostree/commit/image-source.ts";
import { IMAGE_RULES, type MetadataRules, OSTREE_RULES } from "../../../ostree/commit/metadata.ts";
import { readTarTree } from "../../../ostree/commit/tar-tree.ts";
import { defaultTimestamp, parseTimestamp } from "../../../ostree/commit/timestamp.ts";
import { parseVariantText } from "../../../ostree/commit/variant-text.ts";
import { Variant } from "../../../ostree/gvariant.ts";
import { commitOfStreamName, commitRefName } from "../../../ostree/names.ts";
import { resolveCommit } from "../../../ostree/resolve.ts";
import { streamOfRef } from "../../../ostree/stored-commit.ts";
import { acquireJobs } from "../../../parallel/jobs.ts";
import { directoryTree } from "../../../repository/directory-tree.ts";
import type { Repository } from "../../../repository/repository.ts";
import { Fd } from "../../../sys/fd.ts";
import { O_RDONLY, open } from "../../../sys/file.ts";
import type { Directory } from "../../../tree/model.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree commit [--dir|--tar] SOURCE` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const source = sourceOf(args);
  const metadata = metadataOf(args);
  const timestamp = timestampOf(args);
  using repository = openRepository(context);
  const ref = args.text("reference");
  // Before the work: it may take long.
  if (ref !== undefined) commitRefName(ref);
  const parent = parentOf(repository, args, source);
  repository.ensureWritable();
  const { tree, isExact } = await readSource(context, repository, source, args);
  const rules = rulesOf(args, source);
  const made = await commitTree(repository, tree, {
    ref,
    parent,
    subject: args.text("subject"),
    body: args.text("body"),
    timestamp,
    metadata,
    rules,
    cleanXattrNames: args.flag("clean-xattr-names"),
    // Of an image, with its times, which commits do not have.
    imageTree: isExact && !rules.canonical && !rules.noXattrs ? tree : undefined,
    jobs: context.globals.jobs,
    progress: context.progress,
  });
  if (args.flag("json")) printJson(context, made, ref);
  else print(context, made, ref);
  if (made.hasXattrs && !args.flag("clean-xattr-names")) warnOfXattrs(context, source, tree);
}

/** What a commit is made of. */
interface Source {
  readonly kind: "image" | "dir" | "tar";
  readonly name: string;
}

function sourceOf(args: Arguments): Source {
  const kind = args.flag("dir") ? "dir" : args.flag("tar") ? "tar" : "image";
  return { kind, name: args.required("SOURCE") };
}

interface SourceTree {
  readonly tree: Directory;
  /** It is to become the image as it is. */
  readonly isExact: boolean;
}

async function readSource(
  { globals, progress }: Context,
  repository: Repository,
  { kind, name }: Source,
  args: Arguments,
): Promise<SourceTree> {
  const { algorithm, objects } = repository;
  switch (kind) {
    case "image": {
      const tree = readImageTree(repository, name);
      if (args.flag("clean-xattr-names")) cleanXattrNames(tree);
      return { tree, isExact: true };
    }
    case "dir": {
      using jobs = acquireJobs(globals.jobs);
      const tree = await directoryTree(name, {
        algorithm,
        store: objects.handle,
        xattrs: undefined,
        jobs: jobs.count,
        progress,
      });
      return { tree, isExact: false };
    }
    case "tar": {
      using file = name === "-" ? new Fd(0, "standard input") : open(name, O_RDONLY);
      return { tree: readTarTree(file, objects, progress), isExact: false };
    }
  }
}

function rulesOf(args: Arguments, { kind }: Source): MetadataRules {
  const isImage = kind === "image";
  return {
    ...(isImage ? IMAGE_RULES : OSTREE_RULES),
    terminateXattrNames: !isImage || args.flag("clean-xattr-names"),
    noXattrs: args.flag("no-xattrs"),
    canonical: args.flag("canonical-permissions"),
  };
}

function timestampOf(args: Arguments): bigint {
  const text = args.text("timestamp");
  return text === undefined ? defaultTimestamp(process.env) : parseTimestamp(text, "--timestamp");
}

/** As in `ostree commit`: first all texts, then the others. */
function metadataOf(args: Arguments): (readonly [string, Variant])[] {
  const texts = args.list("add-metadata-string").map((pair): readonly [string, Variant] => {
    const [key, value] = keyAndValue(pair, "--add-metadata-string");
    return [key, new Variant("s", value)];
  });
  const others = args.list("add-metadata").map((pair): readonly [string, Variant] => {
    const [key, value] = keyAndValue(pair, "--add-metadata");
    try {
      return [key, parseVariantText(value)];
    } catch (error) {
      throw new CfsError("Usage", `--add-metadata ${pair}: ${describeError(error)}`, {
        hint: "the value is in GVariant text format; --add-metadata-string takes plain text",
      });
    }
  });
  return [...texts, ...others];
}

function keyAndValue(pair: string, option: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals < 0) throw new CfsError("Usage", `${option}: '${pair}' is not KEY=VALUE`);
  return [pair.slice(0, equals), pair.slice(equals + 1)];
}

function parentOf(repository: Repository, args: Arguments, { kind }: Source): Checksum | undefined {
  const text = args.text("parent");
  if (text === "none") return undefined;
  if (text !== undefined) {
    // A commit need not be here to be a parent.
    return isChecksum(text) ? parseChecksum(text, "--parent") : resolveCommit(repository, text);
  }
  const ref = args.text("reference");
  if (kind === "image" || ref === undefined) return undefined;
  const stream = streamOfRef(repository, ref);
  return stream === undefined ? undefined : commitOfStreamName(stream);
}

function print({ out }: Context, { commit, stream }: MadeCommit, ref: string | undefined): void {
  out.line(`commit  ${commit}`);
  out.line(`verity  ${stream}`);
  if (ref !== undefined) out.line(`tagged  ${ref}`);
}

function printJson({ out }: Context, made: MadeCommit, ref: string | undefined): void {
  const { commit, stream, image, table, details, hasXattrs } = made;
  out.json({
    commit,
    stream,
    image,
    ref: ref ?? null,
    parent: details.parent ?? null,
    // As text when it is not exact as a number.
    timestamp: Number.isSafeInteger(Number(details.timestamp))
      ? Number(details.timestamp)
      : String(details.timestamp),
    root_dirtree: details.rootTree,
    root_dirmeta: details.rootMeta,
    has_xattrs: hasXattrs,
    objects: table.length,
  });
}

function warnOfXattrs({ err }: Context, { kind }: Source, tree: Directory): void {
  if (kind !== "image") {
    err.warning(
      "the image has the names of extended attributes that composefs-rs gives them, which the kernel does not know; " +
        "with --clean-xattr-names they work",
    );
  } else if (hasPlainXattrNames(tree)) {
    err.warning(
      "the commit has the names of extended attributes as composefs-rs writes them, which ostree does not understand; " +
        "with --clean-xattr-names it does",
    );
  }
}
