import {
  dictionaryJson,
  formatMetadataValue,
  formatTimestamp,
  valueJson,
} from "../../../ostree/commit-text.ts";
import { commitOfTable, describeObject, objectTypes } from "../../../ostree/describe-objects.ts";
import { parseDetachedMetadata, readDetachedMetadata } from "../../../ostree/detached-metadata.ts";
import { commitOfStreamName } from "../../../ostree/names.ts";
import type { Commit } from "../../../ostree/objects.ts";
import { openResolvedCommit } from "../../../ostree/resolve.ts";
import { listCommitRefs, type StoredCommit } from "../../../ostree/stored-commit.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree inspect SOURCE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const stored = openResolvedCommit(repository, args.required("SOURCE"));
  const commit = commitOfTable(stored.table);
  if (args.flag("json")) printJson(context, repository, stored, commit);
  else if (args.flag("metadata")) {
    for (const [key, value] of commit.metadata) context.out.line(`${key}=${formatMetadataValue(value)}`);
  } else printCommit(context, stored, commit);
}

function printCommit({ out }: Context, stored: StoredCommit, commit: Commit): void {
  out.line(`commit  ${stored.commit}`);
  if (commit.parent !== undefined) out.line(`parent  ${commit.parent}`);
  out.line(`date    ${formatTimestamp(commit.timestamp)}`);
  out.line(`tree    ${commit.rootTree}`);
  out.line(`dirmeta ${commit.rootMeta}`);
  for (const path of stored.subpaths?.paths ?? []) out.line(`subpath ${path}`);
  for (const text of [commit.subject, commit.body]) {
    if (text !== "") out.line(`\n${text}`);
  }
}

/** Object by object: there may be very many. */
function printJson({ out }: Context, repository: Repository, stored: StoredCommit, commit: Commit): void {
  const { table, image, stream, subpaths } = stored;
  const refs = listCommitRefs(repository).filter((ref) => commitOfStreamName(ref.stream) === stored.commit);
  const detached = readDetachedMetadata(repository, stored.commit);
  const head = {
    commit: stored.commit,
    refs: refs.map(({ name }) => name),
    stream,
    image: image ?? null,
    subpaths: subpaths?.paths ?? null,
    parent: commit.parent ?? null,
    timestamp: valueJson(commit.timestamp),
    date: formatTimestamp(commit.timestamp),
    subject: commit.subject,
    body: commit.body,
    root_dirtree: commit.rootTree,
    root_dirmeta: commit.rootMeta,
    related: Object.fromEntries(commit.related),
    metadata: dictionaryJson(commit.metadata),
    detached_metadata: detached === undefined ? null : dictionaryJson(parseDetachedMetadata(detached)),
  };
  const text = JSON.stringify(head, undefined, 2);
  out.text(`${text.slice(0, text.lastIndexOf("\n"))},\n  "objects": [`);
  const types = objectTypes(table, subpaths);
  for (let i = 0; i < table.length; i++) {
    const object = describeObject(table, i, types.at(i));
    out.text(`${i === 0 ? "" : ","}\n    ${JSON.stringify(object)}`);
  }
  out.text("\n  ]\n}\n");
}
