import type { BlobReader } from "../source.ts";
import type { LayoutFiles } from "./layout.ts";
import { TarFile } from "./tar-file.ts";

/** A layout in a tar archive. */
export class LayoutArchive implements LayoutFiles {
  readonly label: string;
  readonly #archive: TarFile;

  /** @param temporaryDirectory where the plain form of a compressed archive is kept: a descriptor. */
  constructor(path: string, temporaryDirectory: number) {
    this.label = `OCI archive ${path}`;
    this.#archive = TarFile.open(path, temporaryDirectory, this.label);
  }

  open(path: string): BlobReader {
    return this.#archive.open(path);
  }

  [Symbol.dispose](): void {
    this.#archive[Symbol.dispose]();
  }
}
