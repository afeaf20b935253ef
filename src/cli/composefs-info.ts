import { type ByteString, fromText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { readImageFile } from "../repository/images.ts";
import { measureFile } from "../repository/measure-file.ts";
import { openDirectory } from "../sys/dir.ts";
import { ENOENT, isErrno } from "../sys/errno.ts";
import { AT_FDCWD, existsat, O_RDONLY, open, pathBytes } from "../sys/file.ts";
import { SHA256 } from "../verity/digest.ts";
import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./usage-error.ts";

/** What `composefs-info` prints of an image, which its two implementations do in ways of their own. */
export interface InfoDialect {
  /** @param names of the root's entries only those. */
  ls(image: Uint8Array, names: ReadonlySet<ByteString> | undefined): Iterable<string>;
  dump(image: Uint8Array, names: ReadonlySet<ByteString> | undefined): Iterable<string>;
  /** Paths of the files that hold the content. */
  objects(image: Uint8Array): Iterable<ByteString>;
  /** Whether the objects of several images are one list. */
  readonly joinsObjects: boolean;
  /** Whether it is an error when the directory of objects is not there. */
  readonly needsDirectory: boolean;
}

/** Runs `composefs-info COMMAND [FILES]...`; only SHA-256 is used. */
export function composefsInfo({ out }: Context, args: Arguments, dialect: InfoDialect): void {
  const command = args.required("COMMAND");
  const files = args.rest("FILES");
  const names = filterNames(args);
  const paths = (list: Iterable<ByteString>) => {
    const lines = [...new Set(list)].sort().map((path) => `${path}\n`);
    out.bytes(Buffer.from(lines.join(""), "latin1"));
  };
  switch (command) {
    case "ls":
    case "dump":
      for (const file of files) {
        const image = readImageAt(file);
        of(file, () => {
          for (const text of dialect[command](image, names)) out.text(text);
        });
      }
      break;
    case "objects": {
      const all: ByteString[] = [];
      for (const file of files) {
        const found = objectsOf(file, dialect);
        if (dialect.joinsObjects) all.push(...found);
        else paths(found);
      }
      if (dialect.joinsObjects) paths(all);
      break;
    }
    case "missing-objects": {
      const all = files.flatMap((file) => objectsOf(file, dialect));
      paths(missing(all, directoryOf(args), dialect.needsDirectory));
      break;
    }
    case "measure-file":
      for (const file of files) out.line(of(file, () => measureFile(file, SHA256)));
      break;
  }
}

function filterNames(args: Arguments): ReadonlySet<ByteString> | undefined {
  const names = args.list("filter");
  for (const name of names)
    if (name.includes("/"))
      throw new CfsError("Usage", `--filter takes the name of an entry of the root, not '${name}'`);
  return names.length === 0 ? undefined : new Set(names.map(fromText));
}

function directoryOf(args: Arguments): string {
  const directory = args.text("basedir");
  if (directory === undefined)
    throw new CfsError("Usage", "missing-objects needs to know where the objects are: --basedir DIR");
  return directory;
}

function objectsOf(file: string, dialect: InfoDialect): ByteString[] {
  const image = readImageAt(file);
  return of(file, () => [...dialect.objects(image)]);
}

function readImageAt(path: string): Uint8Array {
  using file = open(path, O_RDONLY);
  return readImageFile(file);
}

/** Names the file in what goes wrong with it. */
function of<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UsageError ? error : withContext(file, error);
  }
}

/** Those paths that lead to nothing below a directory; one that leads out of it is never there. */
function missing(paths: readonly ByteString[], directory: string, mustExist: boolean): ByteString[] {
  try {
    using base = openDirectory(AT_FDCWD, pathBytes(directory), directory);
    return paths.filter((path) => path.split("/").includes("..") || !existsat(base.fd, path));
  } catch (error) {
    if (isErrno(error, ENOENT) && !mustExist) return [...paths];
    throw error;
  }
}
