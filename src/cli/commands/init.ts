import { CfsError, describeError } from "../../errors.ts";
import { initRepository } from "../../repository/init.ts";
import { repositoryPath } from "../../repository/location.ts";
import { type ErofsVersion, parseAlgorithmId } from "../../repository/meta.ts";
import type { Algorithm } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";

/** `cfsctl init [PATH]` */
export function run({ globals, out, err }: Context, args: Arguments): void {
  const path = args.optional("PATH") ?? repositoryPath(globals);
  const ownVersion = args.int("erofs-version") as ErofsVersion | undefined;
  const algorithm = algorithmOption(args.text("algorithm")!);
  const verity = !(args.flag("insecure") || globals.insecure);
  if (globals.requireVerity && !verity)
    throw new CfsError("Usage", "'--require-verity' and '--insecure' can't be used together");
  if (globals.hash !== undefined && globals.hash !== algorithm.hash) {
    err.warning(`--hash ${globals.hash} does not choose the repository's digest algorithm; --algorithm does`);
  }
  const result = initRepository(path, {
    algorithm,
    erofsVersion: ownVersion ?? globals.erofsVersion ?? 1,
    verity,
    ensure: args.flag("ensure"),
    resetMetadata: args.flag("reset-metadata"),
    onWait: (message) => err.line(`cfsctl: ${message}`),
  });
  switch (result.outcome) {
    case "created":
      out.line(`Initialized composefs repository at ${path}`);
      out.line(`  algorithm: ${result.meta.algorithm.id}`);
      out.line(`  verity:    ${result.verity ? "required" : "not required (insecure)"}`);
      break;
    case "existing": {
      const note = args.flag("ensure") ? " (existing configuration preserved)" : "";
      out.line(`Repository already initialized at ${path}${note}`);
      break;
    }
    case "upgraded":
      out.line(`Upgraded legacy repository at ${path}`);
      break;
  }
}

function algorithmOption(text: string): Algorithm {
  try {
    return parseAlgorithmId(text);
  } catch (error) {
    throw new CfsError("Usage", `invalid value '${text}' for '--algorithm': ${describeError(error)}`);
  }
}
