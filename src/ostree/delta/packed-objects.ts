import type { Algorithm, ObjectId } from "../../verity/digest.ts";
import type { StoredObject } from "../commit-table.ts";

/** Objects in a form that goes quickly from one thread to another; their checksums are known to both. */
export interface PackedObjects {
  /** Bytes of `data` of each. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** One after the other. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** A digest for each; only where `isExternal` is 1. */
  readonly externals: Uint8Array<ArrayBuffer>;
  readonly isExternal: Uint8Array<ArrayBuffer>;
}

export function packObjects(objects: readonly StoredObject[], { size }: Algorithm): PackedObjects {
  const externals = Buffer.from(new ArrayBuffer(objects.length * size));
  for (const [i, { external }] of objects.entries()) {
    if (external !== undefined) externals.hexWrite(external, i * size);
  }
  const data = new Uint8Array(objects.reduce((sum, object) => sum + object.data.length, 0));
  let at = 0;
  for (const object of objects) {
    data.set(object.data, at);
    at += object.data.length;
  }
  return {
    lengths: Uint32Array.from(objects, (object) => object.data.length),
    data,
    externals: new Uint8Array(externals.buffer),
    isExternal: Uint8Array.from(objects, ({ external }) => (external === undefined ? 0 : 1)),
  };
}

export function unpackObjects(packed: PackedObjects, { size }: Algorithm): StoredObject[] {
  const externals = Buffer.from(packed.externals.buffer);
  const objects: StoredObject[] = [];
  let at = 0;
  for (const [i, length] of packed.lengths.entries()) {
    const external =
      packed.isExternal[i] === 1 ? (externals.hexSlice(i * size, (i + 1) * size) as ObjectId) : undefined;
    objects.push({ data: packed.data.subarray(at, at + length), external });
    at += length;
  }
  return objects;
}
