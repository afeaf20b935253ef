/**
 * Where the worker threads' entry point lies. This file stands beside it on purpose: `import.meta.url` is the
 * source file's own address when run from source, and the bundle's address in the compiled program, where the
 * worker is a second entry next to the main one. `./worker.ts` is right for both.
 */
export const workerUrl: string = new URL("./worker.ts", import.meta.url).href;
