import { CfsError } from "../../../errors.ts";
import type { OciDigest } from "../../../oci/digest.ts";
import { resolveName } from "../../../oci/image.ts";
import { shareIndex } from "../../../oci/stored-index.ts";
import { lookUpTag, writeTag } from "../../../oci/tags.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { digestArgument } from "./arguments.ts";

const SOURCE = "MANIFEST_DIGEST";

/** `cfsctl oci tag MANIFEST_DIGEST NAME` */
export function run(context: Context, args: Arguments): void {
  const name = args.required("NAME");
  using repository = openRepository(context);
  const digest = manifestArgument(repository, args);
  writeTag(repository, digest, name);
  shareIndex(repository, args.required(SOURCE), name);
  context.out.line(`Tagged ${digest} as ${name}`);
}

/** A digest, or whatever else names a manifest in the repository. */
function manifestArgument(repository: Repository, args: Arguments): OciDigest {
  const text = args.required(SOURCE);
  if (text.startsWith("@")) {
    const { document, digest } = resolveName(repository, text);
    if (document === "manifest") return digest;
  }
  const tagged = lookUpTag(repository, text);
  if (tagged !== undefined) return tagged;
  if (text.includes(":")) return digestArgument(args, SOURCE);
  throw new CfsError("Usage", `there is no tag ${text}, and it is no digest either`, {
    hint: "`cfsctl oci images` lists the tags",
  });
}
