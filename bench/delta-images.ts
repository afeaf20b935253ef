import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { listUsr, makeLayout, makeTar } from "./image.ts";

const LAYERS = 4;
const LAYER_BYTES = 240 * 1024 * 1024;
const MIN_BYTES = 32 * 1024;
const MAX_BYTES = 2 * 1024 * 1024;
/** One file of so many is edited. */
const EDITED = 20;
const EDIT_BYTES = 64;
/** One edit for so many bytes of a file. */
const BYTES_PER_EDIT = 200_000;

/** Two images, as OCI layouts with one image each. */
export interface ImagePair {
  readonly name: string;
  readonly old: string;
  readonly young: string;
}

/**
 * Makes an image of four layers of about 240 MB each from this machine's /usr, and one in which every 20th file has been
 * edited. Another process does: the memory of this one would count for what it measures later.
 */
export function makePair(folder: string): ImagePair {
  const { success } = Bun.spawnSync([process.execPath, import.meta.path, folder], { stderr: "inherit" });
  if (!success) throw new Error("the images could not be made");
  return { name: "edited", old: join(folder, "old"), young: join(folder, "young") };
}

function makeImages(folder: string): void {
  const tree = join(folder, "tree");
  const layers = fillLayers(tree);
  const write = (name: string) =>
    makeLayout(join(folder, name), LAYERS, (tar, layer) => makeTar(tar, tree, pathsOf(layers[layer]!)));
  write("old");
  layers.forEach(({ files }) => {
    files.forEach((path, i) => {
      if (i % EDITED === 0) edit(join(tree, path), i);
    });
  });
  write("young");
  rmSync(tree, { recursive: true });
}

interface Layer {
  readonly files: readonly string[];
  readonly directories: ReadonlySet<string>;
}

/** Parents first. */
function pathsOf({ files, directories }: Layer): string[] {
  return [...directories, ...files].sort();
}

/** Copies files. */
function fillLayers(tree: string): Layer[] {
  const found = listUsr().filter(({ bytes }) => bytes >= MIN_BYTES && bytes <= MAX_BYTES);
  return Array.from({ length: LAYERS }, (_, layer) => {
    const files: string[] = [];
    const directories = new Set<string>();
    for (let room = LAYER_BYTES; room > 0; ) {
      const file = found.shift();
      if (file === undefined) throw new Error("there is too little in /usr");
      const path = `usr/layer-${layer}/${file.path}`;
      for (let parent = dirname(path); parent !== "."; parent = dirname(parent)) directories.add(parent);
      mkdirSync(join(tree, dirname(path)), { recursive: true });
      copyFileSync(join("/usr", file.path), join(tree, path));
      files.push(path);
      room -= file.bytes;
    }
    return { files, directories };
  });
}

/** Other bytes here and there, and some that were not there. */
function edit(path: string, seed: number): void {
  const bytes = readFileSync(path);
  for (let at = seed % EDIT_BYTES; at + EDIT_BYTES <= bytes.length; at += BYTES_PER_EDIT)
    for (let i = 0; i < EDIT_BYTES; i++) bytes[at + i]! ^= (seed + i) | 1;
  const middle = bytes.length >> 1;
  const inserted = Buffer.from(`edited ${seed}\n`);
  rmSync(path);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, middle), inserted, bytes.subarray(middle)]));
}

if (import.meta.main) makeImages(process.argv[2]!);
