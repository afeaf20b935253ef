import { basename, dirname } from "node:path";
import { fromText } from "../bytes.ts";
import type { FormatVersion } from "../erofs/format.ts";
import { dropOwnMarkers } from "../erofs/own-markers.ts";
import { PreparedImage } from "../erofs/writer.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFMT, S_IFREG } from "../mode.ts";
import { NewFile } from "../repository/new-file.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, O_WRONLY, open, read, writeAll } from "../sys/file.ts";
import { emptyStatus, tryFstatat } from "../sys/stat.ts";
import { DumpfileParser } from "../tree/dumpfile.ts";
import type { Directory } from "../tree/model.ts";
import { dropDevices, dropTimes } from "../tree/plain.ts";
import { keepXattrs } from "../tree/transform.ts";
import { SHA256 } from "../verity/digest.ts";
import { VerityHasher } from "../verity/merkle.ts";
import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";

/** What the two implementations of `mkcomposefs` do in ways of their own. */
export interface MkcomposefsDialect {
  /** The format of the image. */
  version(
    root: Directory,
    given: { readonly min: number | undefined; readonly max: number | undefined },
  ): FormatVersion;
  /** Whether the options that leave something out are for dumpfiles too. */
  readonly filtersDumpfiles: boolean;
  /** Whether a dumpfile may name files of any path as data. */
  readonly anyPaths: boolean;
  /** Whether what marks whiteouts takes the place of xattrs that have the same names. */
  readonly replacesMarkers: boolean;
}

const READ_SIZE = 1024 * 1024;
const STDOUT = "-";
const STDIN = 0;

/** Runs `mkcomposefs [OPTIONS] SOURCE [IMAGE]`; only SHA-256 is used. */
export async function mkcomposefs(
  context: Context,
  args: Arguments,
  dialect: MkcomposefsDialect,
): Promise<void> {
  const { out } = context;
  const output = outputOf(context, args);
  const given = { min: args.int("min-version"), max: args.int("max-version") };
  const source = args.required("SOURCE");
  const isDumpfile = args.flag("from-file");
  const root = isDumpfile ? dumpfileTree(source, dialect) : await scannedTree(context, args, source);
  if (!isDumpfile || dialect.filtersDumpfiles) filterTree(root, args);
  const version = dialect.version(root, given);
  if (dialect.replacesMarkers) dropOwnMarkers(root, version);
  const image = new PreparedImage(root, version, SHA256);
  const wantsDigest = output === undefined || args.flag("print-digest");
  const hasher = wantsDigest ? new VerityHasher(SHA256) : undefined;
  const writeTo = (take: (piece: Uint8Array) => void) =>
    image.write((piece) => {
      hasher?.update(piece);
      take(piece);
    });
  if (output === undefined) writeTo(() => {});
  else if (output === STDOUT) writeTo((piece) => out.bytes(piece));
  else writeImageFile(output, writeTo);
  if (hasher !== undefined) out.line(hasher.digest());
}

/** Where the image goes; undefined when only its digest is wanted. */
function outputOf({ out }: Context, args: Arguments): string | undefined {
  const image = args.optional("IMAGE");
  if (args.flag("print-digest-only")) {
    if (image === undefined) return undefined;
    throw new CfsError("Invalid", "IMAGE must be omitted when using --print-digest-only");
  }
  if (image === undefined)
    throw new CfsError("Invalid", "IMAGE is required", { hint: "or give --print-digest-only" });
  if (image === STDOUT && out.isTerminal) {
    throw new CfsError("Invalid", "the image is not written to a terminal", {
      hint: "redirect standard output, or name a file",
    });
  }
  return image;
}

function filterTree(root: Directory, args: Arguments): void {
  if (args.flag("skip-devices")) dropDevices(root);
  if (args.flag("use-epoch")) dropTimes(root);
  const isWanted = wantedXattr(args);
  if (isWanted !== undefined) keepXattrs(root, isWanted);
}

function wantedXattr(args: Arguments): ((name: string) => boolean) | undefined {
  if (args.flag("skip-xattrs")) return () => false;
  return args.flag("user-xattrs") ? (name) => name.startsWith("user.") : undefined;
}

/** What reads directories is loaded only when it is needed. */
async function scannedTree(context: Context, args: Arguments, source: string): Promise<Directory> {
  const { sourceTree } = await import("./mkcomposefs-directory.ts");
  return await sourceTree(context, args, source, wantedXattr(args));
}

function dumpfileTree(path: string, dialect: MkcomposefsDialect): Directory {
  if (path === "-") return parseFrom(STDIN, "standard input", dialect);
  using file = open(path, O_RDONLY);
  return parseFrom(file.fd, path, dialect);
}

function parseFrom(fd: number, label: string, { anyPaths }: MkcomposefsDialect): Directory {
  const parser = new DumpfileParser(SHA256, { anyPaths });
  const buffer = new Uint8Array(READ_SIZE);
  try {
    for (let size = read(fd, buffer, label); size > 0; size = read(fd, buffer, label))
      parser.push(buffer.subarray(0, size));
    return parser.finish();
  } catch (error) {
    throw withContext(label, error);
  }
}

/** Regular files are replaced when the image is complete; anything else, such as a pipe, is written to. */
function writeImageFile(path: string, writeTo: (take: (piece: Uint8Array) => void) => void): void {
  const status = emptyStatus();
  const exists = tryFstatat(AT_FDCWD, fromText(path), status) >= 0;
  if (exists && (status.mode & S_IFMT) !== S_IFREG) {
    using file = open(path, O_WRONLY);
    writeTo((piece) => writeAll(file.fd, piece, path));
    return;
  }
  using directory = open(dirname(path), O_RDONLY | O_DIRECTORY);
  using file = new NewFile(directory);
  writeTo((piece) => writeAll(file.fd, piece, path));
  file.place(fromText(basename(path)));
}
