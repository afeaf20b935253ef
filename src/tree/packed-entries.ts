import type { ByteString } from "../bytes.ts";
import type { Directory, Entries, Node } from "./model.ts";

/** Fewer entries are not worth it. */
const MIN_ENTRIES = 8;

/**
 * Makes a directory that has all its entries keep them in less memory: names in one string and nodes in one list, 12
 * bytes an entry beside the name's own, where a map and its strings take 100.
 */
export function packEntries(directory: Directory): void {
  const { entries } = directory;
  if (entries.size >= MIN_ENTRIES) directory.entries = new PackedEntries(entries);
}

/** Entries in the order of their names. As soon as another name is added or one is taken away, they become a map again. */
class PackedEntries implements Entries {
  #names: string;
  /** Where the name of each entry ends. */
  #ends: Uint32Array;
  #nodes: Node[];
  #map: Map<ByteString, Node> | undefined;

  constructor(entries: Entries) {
    const names = Array.from(entries.keys()).sort();
    this.#names = names.join("");
    this.#ends = new Uint32Array(names.length);
    let end = 0;
    for (let i = 0; i < names.length; i++) {
      end += names[i]!.length;
      this.#ends[i] = end;
    }
    this.#nodes = names.map((name) => entries.get(name)!);
  }

  get size(): number {
    return this.#map?.size ?? this.#nodes.length;
  }

  get(name: ByteString): Node | undefined {
    if (this.#map !== undefined) return this.#map.get(name);
    const index = this.#indexOf(name);
    return index < 0 ? undefined : this.#nodes[index];
  }

  has(name: ByteString): boolean {
    return this.#map === undefined ? this.#indexOf(name) >= 0 : this.#map.has(name);
  }

  set(name: ByteString, node: Node): void {
    const index = this.#map === undefined ? this.#indexOf(name) : -1;
    if (index < 0) this.#unpack().set(name, node);
    else this.#nodes[index] = node;
  }

  delete(name: ByteString): boolean {
    return this.has(name) && this.#unpack().delete(name);
  }

  clear(): void {
    this.#unpack().clear();
  }

  forEach(visit: (node: Node, name: ByteString) => void): void {
    if (this.#map !== undefined) this.#map.forEach(visit);
    else for (let i = 0; i < this.#nodes.length; i++) visit(this.#nodes[i]!, this.#nameAt(i));
  }

  keys(): Iterable<ByteString> {
    return this.#map?.keys() ?? this.#nodes.map((_, i) => this.#nameAt(i));
  }

  values(): Iterable<Node> {
    return this.#map?.values() ?? this.#nodes;
  }

  *[Symbol.iterator](): Iterator<[ByteString, Node]> {
    if (this.#map !== undefined) {
      yield* this.#map;
      return;
    }
    // Entries may be taken away while they are visited.
    const names = this.#names;
    const ends = this.#ends;
    for (const [i, node] of this.#nodes.entries()) yield [nameAt(names, ends, i), node];
  }

  #nameAt(index: number): ByteString {
    return nameAt(this.#names, this.#ends, index);
  }

  #indexOf(name: ByteString): number {
    let low = 0;
    let high = this.#nodes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#nameAt(middle) < name) low = middle + 1;
      else high = middle;
    }
    return low < this.#nodes.length && this.#nameAt(low) === name ? low : -1;
  }

  #unpack(): Map<ByteString, Node> {
    if (this.#map === undefined) {
      this.#map = new Map(this);
      this.#names = "";
      this.#ends = new Uint32Array(0);
      this.#nodes = [];
    }
    return this.#map;
  }
}

function nameAt(names: string, ends: Uint32Array, index: number): ByteString {
  return names.slice(index === 0 ? 0 : ends[index - 1], ends[index]);
}
