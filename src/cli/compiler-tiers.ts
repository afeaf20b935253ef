/** Read by JavaScriptCore before a program starts; nothing sets it later. */
const SWITCH = "BUN_JSC_useFTLJIT";

/** What runs many short functions once over, or mostly waits for functions that are not compiled here. */
const SHORT_LIVED: readonly (readonly string[])[] = [
  ["mkcomposefs"],
  ["create-image"],
  ["compute-id"],
  ["create-dumpfile"],
  ["fsck"],
  ["ostree", "pull"],
  ["ostree", "pull-local"],
];

/**
 * Starts this process anew without the last tier of the just-in-time compiler when it is about to do something that is
 * over before that tier pays: making an image of 32,000 entries takes 0.20 s of CPU time without it, and 0.42 s with it.
 * The new start takes 5 ms. Where that is not possible, all goes on as it is.
 * @param name of the program
 * @param words of the command line
 */
export function restartWithoutLastTier(name: string, words: readonly string[]): void {
  if (process.env[SWITCH] !== undefined || process.execve === undefined) return;
  const given = new Set([name, ...words]);
  if (!SHORT_LIVED.some((command) => command.every((word) => given.has(word)))) return;
  // from source, the executable is another program
  if (!import.meta.url.includes("/$bunfs/")) return;
  try {
    process.execve(process.execPath, [process.argv0, ...words], { ...process.env, [SWITCH]: "0" });
  } catch {
    // the difference is one of speed only
  }
}
