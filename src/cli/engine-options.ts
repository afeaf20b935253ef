/** Options of JavaScriptCore, which reads them from the environment before a program starts; nothing sets them later. */
type EngineOptions = Readonly<Record<`BUN_JSC_${string}`, string>>;

/** Without the last tier of the just-in-time compiler. */
const NO_LAST_TIER: EngineOptions = { BUN_JSC_useFTLJIT: "0" };

/** The heap grows by no more than this part of what is alive in it until garbage is collected, instead of doubling. */
const SMALL_HEAP: EngineOptions = { BUN_JSC_heapGrowthMaxIncrease: "0.2" };

/** No garbage is collected before there are 128 MB, instead of 32. */
const LATE_COLLECTION: EngineOptions = { BUN_JSC_largeHeapSize: String(128 << 20) };

/**
 * What runs many short functions once over, or mostly waits for functions that are not compiled here, is over before the
 * last tier pays: making an image of 32,000 entries takes 0.20 s of CPU time without it, and 0.42 s with it. Trees of
 * directories may be very large: with a million entries, 210 MB instead of 280.
 */
const SPECIAL: readonly { readonly words: readonly string[]; readonly options: EngineOptions }[] = [
  { words: ["mkcomposefs"], options: { ...NO_LAST_TIER, ...LATE_COLLECTION } },
  { words: ["create-image"], options: { ...NO_LAST_TIER, ...SMALL_HEAP } },
  { words: ["compute-id"], options: { ...NO_LAST_TIER, ...SMALL_HEAP } },
  { words: ["create-dumpfile"], options: { ...NO_LAST_TIER, ...SMALL_HEAP } },
  { words: ["fsck"], options: NO_LAST_TIER },
  { words: ["oci", "pull"], options: NO_LAST_TIER },
  { words: ["ostree", "commit"], options: { ...NO_LAST_TIER, ...SMALL_HEAP } },
  { words: ["ostree", "pull"], options: NO_LAST_TIER },
  { words: ["ostree", "pull-local"], options: NO_LAST_TIER },
];

/**
 * Starts this process anew with options of the engine that suit what it is about to do, unless the environment has them.
 * The new start takes 5 ms. Where that is not possible, all goes on as it is.
 * @param name of the program
 * @param words of the command line
 */
export function restartWithEngineOptions(name: string, words: readonly string[]): void {
  if (process.execve === undefined) return;
  const given = new Set([name, ...words]);
  const special = SPECIAL.find((command) => command.words.every((word) => given.has(word)));
  if (special === undefined || Object.keys(special.options).some((key) => process.env[key] !== undefined))
    return;
  // from source, the executable is another program
  if (!import.meta.url.includes("/$bunfs/")) return;
  try {
    process.execve(process.execPath, [process.argv0, ...words], { ...process.env, ...special.options });
  } catch {
    // the difference is one of speed and memory only
  }
}
