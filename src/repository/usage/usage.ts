import { CfsError, describeError } from "../../errors.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { Repository } from "../repository.ts";
import { ObjectInventory } from "./inventory.ts";
import { type Amount, UserSets } from "./user-sets.ts";
import { type ObjectKind, UsageWalker } from "./walk.ts";

/** What one image, stream or commit uses of a repository. */
export interface RootUsage {
  /** Everything that it needs. */
  readonly needs: Amount;
  /** What nothing else needs. */
  readonly own: Amount;
  /** What none of those before it needs. */
  readonly added: Amount;
  /** Objects that it refers to and that are not there. */
  readonly missing: number;
  /** Why it could not be read to the end; then the rest is too small. */
  readonly unreadable: string | undefined;
}

export interface RepositoryUsage {
  readonly inventory: ObjectInventory;
  readonly roots: readonly RootUsage[];
  readonly total: Amount;
  /** What is used, by what it is used as. */
  readonly used: Readonly<Record<ObjectKind, Amount>>;
  /** What no root needs. */
  readonly unused: Amount;
  /** Bytes that every two roots have in common: `shared[i][j]`, with what a root needs where i is j. */
  sharedBytes(roots: readonly number[]): number[][];
  /** The largest objects that are the content of files. */
  largestFiles(count: number): LargeFile[];
}

export interface LargeFile {
  readonly id: ObjectId;
  readonly size: number;
  /** Numbers of the roots that need it. */
  readonly roots: readonly number[];
}

const KINDS: readonly ObjectKind[] = ["file", "image", "stream"];

/**
 * Finds out what roots need of a repository, and what they share.
 * @param roots objects of streams and images, each once, in the order in which they count as having been added.
 */
export function measureUsage(repository: Repository, roots: readonly ObjectId[]): RepositoryUsage {
  const inventory = new ObjectInventory(repository);
  const sets = new UserSets(inventory.count);
  const walker = new UsageWalker(repository, inventory);
  const kinds = new Uint8Array(inventory.count);
  const rows = roots.map((root) => {
    sets.nextUser();
    const needs = { count: 0, bytes: 0 };
    const added = { count: 0, bytes: 0 };
    let missing = 0;
    let unreadable: string | undefined;
    try {
      walker.walk(root, (object, kind) => {
        if (object < 0) {
          missing++;
          return false;
        }
        const { isNew, isFirst } = sets.use(object);
        if (isNew) add(needs, inventory.sizeOf(object));
        if (isFirst) add(added, inventory.sizeOf(object));
        if (isFirst || kind !== "file") kinds[object] = KINDS.indexOf(kind);
        return isNew;
      });
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      unreadable = describeError(error);
    }
    return { needs, added, own: { count: 0, bytes: 0 }, missing, unreadable };
  });

  const total = { count: 0, bytes: 0 };
  const unused = { count: 0, bytes: 0 };
  const used = {
    file: { count: 0, bytes: 0 },
    image: { count: 0, bytes: 0 },
    stream: { count: 0, bytes: 0 },
  };
  for (let object = 0; object < inventory.count; object++) {
    const size = inventory.sizeOf(object);
    add(total, size);
    add(sets.isUsed(object) ? used[KINDS[kinds[object]!]!] : unused, size);
  }
  const sizeOf = (object: number) => inventory.sizeOf(object);
  for (const { users, amount } of sets.amounts(sizeOf)) {
    if (users.length > 1) continue;
    const { own } = rows[users[0]!]!;
    own.count += amount.count;
    own.bytes += amount.bytes;
  }
  return {
    inventory,
    roots: rows,
    total,
    used,
    unused,
    sharedBytes: (wanted) => sharedBytes(sets, sizeOf, wanted),
    largestFiles: (count) =>
      largest(inventory, count, (object) => sets.isUsed(object) && kinds[object] === 0).map((object) => ({
        id: inventory.idOf(object),
        size: inventory.sizeOf(object),
        roots: sets.usersOf(object),
      })),
  };
}

function add(amount: { count: number; bytes: number }, bytes: number): void {
  amount.count++;
  amount.bytes += bytes;
}

function sharedBytes(
  sets: UserSets,
  sizeOf: (object: number) => number,
  roots: readonly number[],
): number[][] {
  const place = new Map(roots.map((root, i) => [root, i]));
  const shared = roots.map(() => new Array<number>(roots.length).fill(0));
  for (const { users, amount } of sets.amounts(sizeOf)) {
    const wanted = users.flatMap((user) => place.get(user) ?? []);
    for (const i of wanted) for (const j of wanted) shared[i]![j]! += amount.bytes;
  }
  return shared;
}

/** Numbers of the largest objects of some kind, the largest first. */
function largest(inventory: ObjectInventory, count: number, isWanted: (object: number) => boolean): number[] {
  const found: number[] = [];
  const bySize = (a: number, b: number) => inventory.sizeOf(b) - inventory.sizeOf(a) || a - b;
  for (let object = 0; object < inventory.count; object++) {
    if (!isWanted(object)) continue;
    found.push(object);
    if (found.length >= 2 * count + 1000) found.sort(bySize).splice(count);
  }
  return found.sort(bySize).slice(0, count);
}
