import { CfsError } from "../../errors.ts";
import { OPERATIONS } from "./operations.ts";
import type { DeltaObject } from "./superblock.ts";
import { OperationReader } from "./varint.ts";

type Operation = keyof typeof OPERATIONS;

/** How often each operation is there. */
export type OperationCounts = Readonly<Record<Operation, number>>;

const NAMES = new Map<number, Operation>(
  Object.entries(OPERATIONS).map(([name, code]) => [code, name as Operation]),
);

/** Numbers behind each operation; of whole files two more. */
const OPERANDS: OperationCounts = {
  wholeObject: 2,
  open: 3,
  write: 2,
  setSource: 1,
  unsetSource: 0,
  bspatch: 2,
  close: 0,
};

/**
 * Counts the operations of a part without carrying them out.
 * @param objects that the part makes, in this order.
 * @throws CfsError Corrupt
 */
export function countOperations(operations: Uint8Array, objects: readonly DeltaObject[]): OperationCounts {
  const counts: Record<Operation, number> = {
    wholeObject: 0,
    open: 0,
    write: 0,
    setSource: 0,
    unsetSource: 0,
    bspatch: 0,
    close: 0,
  };
  const reader = new OperationReader(operations);
  while (!reader.isAtEnd) {
    const code = reader.code();
    const name = NAMES.get(code);
    if (name === undefined)
      throw new CfsError("Corrupt", `unknown delta opcode 0x${code.toString(16).padStart(2, "0")}`);
    const isWholeFile = name === "wholeObject" && objects[counts.wholeObject + counts.open]?.type === "file";
    counts[name]++;
    for (let i = 0; i < OPERANDS[name] + (isWholeFile ? 2 : 0); i++) reader.number();
  }
  return counts;
}
