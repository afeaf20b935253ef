import { CHECKSUM_SIZE, type Checksum } from "../checksum.ts";
import type { CommitTable } from "../commit-table.ts";
import { visitDirTree } from "../dirtree-reader.ts";
import { OBJECT_TYPES, type ObjectType } from "../objects.ts";

/**
 * What a commit has in common with one that is in the repository. Most of an update is: so objects are known by their
 * places in the table of the other commit, and no checksum becomes a string.
 */
export class SharedObjects {
  readonly table: CommitTable;
  /** For each object of the table 0, or its number in OBJECT_TYPES when the commit has it. */
  readonly types: Uint8Array;
  readonly #onMissing: (type: ObjectType, checksum: Checksum) => void;
  /** Dirtrees to be looked into. */
  readonly #pending: number[] = [];
  readonly #digest = new Uint8Array(CHECKSUM_SIZE);

  /** @param onMissing told of what is below a directory and is not in the table, or is damaged. */
  constructor(table: CommitTable, onMissing: (type: ObjectType, checksum: Checksum) => void) {
    this.table = table;
    this.types = new Uint8Array(table.length);
    this.#onMissing = onMissing;
  }

  /** Takes an object with everything below it. @returns false when it is not in the table, or is damaged. */
  take(type: ObjectType, checksum: Checksum): boolean {
    if (!this.#takeAt(type, this.table.indexOf(checksum))) return false;
    for (let tree = this.#pending.pop(); tree !== undefined; tree = this.#pending.pop()) this.#descend(tree);
    return true;
  }

  #takeAt(type: ObjectType, index: number): boolean {
    if (index < 0) return false;
    if (this.types[index] === OBJECT_TYPES[type]) return true;
    // The content of files is not in the table.
    if (type !== "file" && !this.#isIntact(index)) return false;
    this.types[index] = OBJECT_TYPES[type];
    if (type === "dirtree") this.#pending.push(index);
    return true;
  }

  #isIntact(index: number): boolean {
    const { table } = this;
    Bun.SHA256.hash(table.dataAt(index), this.#digest);
    return table.indexOfBytes(this.#digest, 0) === index;
  }

  #descend(tree: number): void {
    const { bytes } = this.table;
    const { start, end } = this.table.dataRange(tree);
    const take = (type: ObjectType, at: number) => {
      if (this.#takeAt(type, this.table.indexOfBytes(bytes, at))) return;
      this.#onMissing(type, bytes.hexSlice(at, at + CHECKSUM_SIZE) as Checksum);
    };
    visitDirTree(bytes, start, end, {
      file: (_start, _end, file) => take("file", file),
      directory: (_start, _end, tree, meta) => {
        take("dirmeta", meta);
        take("dirtree", tree);
      },
    });
  }
}
