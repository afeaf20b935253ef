import { lstatSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fromText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { NewFile } from "../../repository/new-file.ts";
import { Fd } from "../../sys/fd.ts";
import { fsync, O_DIRECTORY, O_RDONLY, open, pwriteAll } from "../../sys/file.ts";
import { encodeTarHeader, TAR_END, tarPadding } from "../../tar/write.ts";
import { digestAlgorithm, digestHex, type OciDigest } from "../digest.ts";
import { copyFile } from "./file-content.ts";
import { emptyLayoutIndex, LAYOUT_FILE, LAYOUT_FILE_NAME, withTag } from "./layout-index.ts";
import type { Publication, PushTarget, ReadyBlob } from "./target.ts";

/**
 * An OCI layout in a tar archive, which appears, or replaces another one, when it is complete. The same image gives
 * the same archive.
 */
export class ArchiveTarget implements PushTarget {
  readonly label: string;
  readonly inOrder = true;
  readonly #directory: Fd;
  readonly #name: string;
  readonly #tag: string | undefined;
  readonly #file: NewFile;
  readonly #blobs = new Set<OciDigest>();
  readonly #algorithms = new Set<string>();
  #end = 0;

  constructor(path: string, tag: string | undefined) {
    this.label = `oci-archive:${path}${tag === undefined ? "" : `:${tag}`}`;
    this.#tag = tag;
    checkReplaceable(path);
    this.#name = fromText(basename(path));
    this.#directory = open(dirname(path), O_RDONLY | O_DIRECTORY);
    this.#file = new NewFile(this.#directory);
    this.#append(encodeTarHeader({ path: "blobs/", type: "directory", size: 0 }));
  }

  get temporaryDirectory(): number {
    return this.#directory.fd;
  }

  async findBlob(digest: OciDigest): Promise<"present" | undefined> {
    return this.#blobs.has(digest) ? "present" : undefined;
  }

  async putBlob({ digest, size, fd }: ReadyBlob): Promise<void> {
    // Differently compressed, two layers may have become the same.
    if (this.#blobs.has(digest)) return;
    this.#append(this.#blobHeader(digest, size));
    copyFile(fd, this.#file.fd, this.#end, size);
    this.#end += size;
    this.#append(new Uint8Array(tarPadding(size)));
    this.#blobs.add(digest);
  }

  abort(): void {}

  async putDocument({ digest, bytes }: Publication): Promise<void> {
    if (this.#blobs.has(digest)) return;
    this.#append(this.#blobHeader(digest, bytes.length));
    this.#appendBody(bytes);
    this.#blobs.add(digest);
  }

  async publish(document: Publication): Promise<void> {
    await this.putDocument(document);
    this.#appendFile(LAYOUT_FILE_NAME, LAYOUT_FILE);
    this.#appendFile("index.json", withTag(emptyLayoutIndex(), document, this.#tag));
    this.#append(TAR_END);
    fsync(new Fd(this.#file.fd, this.label));
    this.#file.place(this.#name);
    fsync(this.#directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file[Symbol.dispose]();
    this.#directory.close();
  }

  #blobHeader(digest: OciDigest, size: number): Uint8Array {
    const algorithm = digestAlgorithm(digest);
    if (!this.#algorithms.has(algorithm)) {
      this.#algorithms.add(algorithm);
      this.#append(encodeTarHeader({ path: `blobs/${algorithm}/`, type: "directory", size: 0 }));
    }
    return encodeTarHeader({ path: `blobs/${algorithm}/${digestHex(digest)}`, type: "file", size });
  }

  #appendFile(path: string, bytes: Uint8Array): void {
    this.#append(encodeTarHeader({ path, type: "file", size: bytes.length }));
    this.#appendBody(bytes);
  }

  #appendBody(bytes: Uint8Array): void {
    this.#append(bytes);
    this.#append(new Uint8Array(tarPadding(bytes.length)));
  }

  #append(bytes: Uint8Array): void {
    pwriteAll(this.#file.fd, bytes, this.#end, this.label);
    this.#end += bytes.length;
  }
}

/** What is there already is replaced when it is a file; a device, or a link to one, would be lost for everybody. */
function checkReplaceable(path: string): void {
  if (path.endsWith("/")) throw new CfsError("Invalid", `${path} is a directory`);
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.isFile()) return;
  throw new CfsError("Invalid", `${path} is ${status.isDirectory() ? "a directory" : "no regular file"}`, {
    hint: "oci-archive: needs the name of a file; oci: writes a directory",
  });
}
