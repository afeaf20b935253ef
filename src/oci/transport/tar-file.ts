import { fromText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { Fd } from "../../sys/fd.ts";
import { O_NONBLOCK, O_RDONLY, open } from "../../sys/file.ts";
import { fstat, isRegular } from "../../sys/stat.ts";
import type { BlobReader } from "../source.ts";
import { compressionOf, decompressPart, type FilePart } from "./decompress-file.ts";
import { listMembers, plainPath, type TarMembers } from "./tar-members.ts";

/** As many symbolic links are followed for one name. */
const MAX_LINKS = 8;

/**
 * The regular files of a tar archive, wherever they are in it. A plain archive is used in place; one that is compressed
 * with gzip or zstd is decompressed once into an unnamed file.
 */
export class TarFile implements Disposable {
  /** The plain archive. */
  readonly file: Fd;
  readonly #members: TarMembers;

  private constructor(file: Fd, members: TarMembers) {
    this.file = file;
    this.#members = members;
  }

  /**
   * @param path text
   * @param temporaryDirectory where the plain form of a compressed archive is kept: a descriptor.
   * @param label for messages.
   * @throws CfsError Invalid, Corrupt, Unsupported
   */
  static open(path: string, temporaryDirectory: number, label: string): TarFile {
    // O_NONBLOCK: a FIFO in its place must not block.
    const file = open(path, O_RDONLY | O_NONBLOCK);
    try {
      if (!isRegular(fstat(file))) throw new CfsError("Invalid", `${path} is not a regular file`);
    } catch (error) {
      file.close();
      throw withContext(label, error);
    }
    return TarFile.from(file, temporaryDirectory, label);
  }

  /** @param file a regular file, which belongs to the archive from now on, also when this fails. */
  static from(file: Fd, temporaryDirectory: number, label: string): TarFile {
    let plain = file;
    try {
      const compression = compressionOf(file);
      if (compression !== "none") {
        plain = new Fd(openTemporary(temporaryDirectory), "temporary file for the decompressed archive");
        decompressPart(file, { offset: 0, size: fstat(file).size }, compression, plain, 0);
        file.close();
      }
      return new TarFile(plain, listMembers(plain));
    } catch (error) {
      if (plain !== file) plain.close();
      file.close();
      throw withContext(label, error);
    }
  }

  /**
   * Where in the archive a file is.
   * @param links whether symbolic links in its place are followed, as long as they stay in the archive.
   */
  find(path: string, links: "follow" | "refuse"): FilePart | undefined {
    let at: string | undefined = plainPath(fromText(path));
    for (let followed = 0; at !== undefined && followed <= MAX_LINKS; followed++) {
      const member = this.#members.get(at);
      if (member === undefined || !("target" in member)) return member;
      if (links === "refuse") return undefined;
      at = resolveLink(at, member.target);
    }
    return undefined;
  }

  /** @throws CfsError NotFound */
  open(path: string, links: "follow" | "refuse" = "refuse"): BlobReader {
    const part = this.find(path, links);
    if (part === undefined) throw new CfsError("NotFound", `not found in archive: ${path}`);
    return { fd: this.file.fd, ...part, [Symbol.dispose]: () => {} };
  }

  [Symbol.dispose](): void {
    this.file.close();
  }
}

/** The member that a symbolic link leads to; undefined when that is outside of the archive. */
function resolveLink(path: string, target: string): string | undefined {
  if (target.startsWith("/")) return undefined;
  const components = path.split("/").slice(0, -1);
  for (const component of target.split("/")) {
    if (component === "" || component === ".") continue;
    if (component !== "..") components.push(component);
    else if (components.pop() === undefined) return undefined;
  }
  return components.join("/");
}
