import { afterAll, expect, test } from "bun:test";
import { ObjectCopier } from "../../src/repository/copy-object.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { newRepository } from "../oci/support.ts";
import { tempDirInMemory } from "../support/temp.ts";

const scratch = tempDirInMemory(64 * 1024 * 1024);
afterAll(() => scratch[Symbol.dispose]());

test.each([false, true])(
  "a large object that is there is read, but not written again (sharing: %p)",
  (share) => {
    using source = newRepository(scratch.join(`source-${share}`), SHA256);
    using target = newRepository(scratch.join(`target-${share}`), SHA256);
    const content = new Uint8Array(1024 * 1024).fill(7);
    const { id } = source.objects.storeBytes(content);
    target.objects.storeBytes(content);
    target.objects.begin = () => {
      throw new Error("a new file was begun");
    };
    let read = 0;
    const copied = new ObjectCopier(source.objects, target.objects, share).copy(id, (piece) => {
      read += piece.length;
    });
    expect(copied).toEqual({ id, size: content.length, arrival: "present" });
    expect(read).toBe(content.length);
  },
);
