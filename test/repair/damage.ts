import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Choices } from "../support/choices.ts";
import { noise } from "../support/tar-writer.ts";
import type { SampleRepository } from "./sample-repository.ts";

/** What was done to a repository. */
export interface Damage {
  readonly what: string;
  /** What is not as it was, as paths: an object or link that is damaged, gone, or leads elsewhere. */
  readonly paths: readonly string[];
  /** A check has to notice it. What nothing needs may be missing. */
  readonly matters: boolean;
}

type Maker = (path: string, sample: SampleRepository, choices: Choices) => Damage | undefined;

const isNeeded = ({ needs }: SampleRepository, path: string) =>
  [...needs.values()].some((paths) => paths.has(path));

/** Changes a file that may have several names only under this one. */
function rewrite(path: string, change: (bytes: Buffer) => Uint8Array): void {
  const bytes = readFileSync(path);
  rmSync(path);
  writeFileSync(path, change(bytes));
}

/** As many zeros; ones where all are zeros already. */
const zerosOrOnes = (bytes: Buffer) => Buffer.alloc(bytes.length, bytes.some((byte) => byte !== 0) ? 0 : 1);

const onObject =
  (
    what: string,
    change: (file: string, choices: Choices) => void,
    matters: boolean | undefined = true,
  ): Maker =>
  (path, sample, choices) => {
    const object = choices.of(sample.objects);
    if (!lstatSync(join(path, object), { throwIfNoEntry: false })?.isFile()) return undefined;
    change(join(path, object), choices);
    return { what, paths: [object], matters: matters || isNeeded(sample, object) };
  };

const onLink =
  (
    what: string,
    which: "entries" | "refs",
    change: (link: string, choices: Choices, sample: SampleRepository) => unknown,
  ): Maker =>
  (path, sample, choices) => {
    const link = choices.of(sample[which]);
    if (!lstatSync(join(path, link), { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
    if (change(join(path, link), choices, sample) === false) return undefined;
    return { what, paths: [link], matters: true };
  };

const relink = (link: string, target: string) => {
  rmSync(link);
  symlinkSync(target, link);
};

const MAKERS: readonly (readonly [weight: number, make: Maker])[] = [
  [
    20,
    onObject("flipped bit", (file, choices) =>
      rewrite(file, (bytes) => {
        bytes[choices.below(bytes.length)]! ^= 1 << choices.below(8);
        return bytes;
      }),
    ),
  ],
  [
    8,
    onObject("truncated object", (file, choices) => truncateSync(file, choices.below(lstatSync(file).size))),
  ],
  [
    4,
    onObject("object with more bytes", (file, choices) =>
      appendFileSync(file, Buffer.alloc(1 + choices.below(5000))),
    ),
  ],
  [4, onObject("object of zeros", (file) => rewrite(file, zerosOrOnes))],
  [12, onObject("deleted object", (file) => rmSync(file), false)],
  [
    3,
    onObject("directory in place of an object", (file) => {
      rmSync(file);
      mkdirSync(join(file, "below"), { recursive: true });
    }),
  ],
  [
    3,
    onObject("looping link in place of an object", (file) => {
      rmSync(file);
      symlinkSync(basename(file), file);
    }),
  ],
  [8, swappedObjects],
  [8, onLink("deleted entry", "entries", (link) => rmSync(link))],
  [8, onLink("dangling entry", "entries", (link, choices) => relink(link, nowhere(choices)))],
  [4, onLink("looping entry", "entries", (link) => relink(link, basename(link)))],
  [
    4,
    onLink("file in place of an entry", "entries", (link) => {
      rmSync(link);
      writeFileSync(link, "text");
      return true;
    }),
  ],
  [
    8,
    onLink("entry that leads to another object", "entries", (link, choices, { entries }) => {
      const other = choices.of(entries);
      const target = lstatSync(join(dirname(dirname(link)), other), { throwIfNoEntry: false });
      if (!target?.isSymbolicLink()) return false;
      const to = readlinkSync(join(dirname(dirname(link)), other));
      if (to === readlinkSync(link)) return false;
      relink(link, to);
      return true;
    }),
  ],
  [6, onLink("dangling ref", "refs", (link) => relink(link, `${readlinkSync(link)}0`))],
  [6, onLink("looping ref", "refs", (link) => relink(link, basename(link)))],
  [3, onLink("refs that lead to each other", "refs", (link) => loopOfTwo(link))],
  [4, onLink("ref that leads out of its category", "refs", (link) => relink(link, "/"))],
  [4, strayFile],
];

const WEIGHTED = MAKERS.flatMap(([weight, make]) => Array.from({ length: weight }, () => make));

/** Does some random damage. */
export function damage(path: string, sample: SampleRepository, choices: Choices): Damage {
  for (;;) {
    const done = choices.of(WEIGHTED)(path, sample, choices);
    if (done !== undefined) return done;
  }
}

/** The refs that need what is damaged, by what was found out before. */
export function affectedBy({ needs, refs }: SampleRepository, damages: readonly Damage[]): string[] {
  const paths = damages.flatMap((done) => done.paths);
  return refs.filter((ref) => paths.includes(ref) || paths.some((path) => needs.get(ref)!.has(path)));
}

function nowhere(choices: Choices): string {
  const hex = Buffer.from(noise(32, choices.below(1e9))).toString("hex");
  return `../objects/${hex.slice(0, 2)}/${hex.slice(2)}`;
}

function loopOfTwo(link: string): void {
  relink(link, `${basename(link)}-back`);
  symlinkSync(basename(link), `${link}-back`);
}

function swappedObjects(path: string, { objects }: SampleRepository, choices: Choices): Damage | undefined {
  const [a, b] = [choices.of(objects), choices.of(objects)];
  const isFile = (name: string) => lstatSync(join(path, name), { throwIfNoEntry: false })?.isFile();
  if (a === b || !isFile(a) || !isFile(b)) return undefined;
  const aside = join(path, "objects", "aside");
  renameSync(join(path, a), aside);
  renameSync(join(path, b), join(path, a));
  renameSync(aside, join(path, b));
  return { what: "swapped objects", paths: [a, b], matters: true };
}

function strayFile(path: string, _: SampleRepository, choices: Choices): Damage | undefined {
  const directories = [
    "objects",
    `objects/${choices.of(readdirSync(join(path, "objects")).filter((name) => name.length === 2))}`,
    "streams",
    "images",
    "streams/refs",
    "images/refs",
    "streams/refs/oci",
  ];
  const directory = choices.of(directories);
  const name = join(directory, choices.of(["core", "zz", "backup~", "a b", "größe"]));
  if (lstatSync(join(path, name), { throwIfNoEntry: false }) !== undefined) return undefined;
  if (choices.chance(0.5)) writeFileSync(join(path, name), "stray");
  else if (directory.includes("refs")) Bun.spawnSync(["mkfifo", join(path, name)]);
  else mkdirSync(join(path, name, "below"), { recursive: true });
  return { what: `stray file in ${directory.replace(/[0-9a-f]{2}$/, "xx")}`, paths: [], matters: true };
}
