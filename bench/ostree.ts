import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../test/support/project.ts";
import { findReference } from "../test/support/reference.ts";
import { type Contest, compare, measure, printHead } from "./compare.ts";
import { type LatencyServer, startLatencyServer } from "./latency-server.ts";
import { changeTree, makeTree } from "./ostree-tree.ts";

const LATENCY_MS = 20;
const FIRST = "first";
const SECOND = "second";
const OSTREE = "ostree";

type Command = (program: string, repository: string) => string[];

/**
 * Pulls a commit with as many objects as a large flatpak runtime from an archive, from a repository of mode bare-user
 * and over HTTP, without and with latency, and then the commit that follows it, in which 50 files have changed; beside
 * composefs-rs, and beside `ostree pull` into a repository of mode bare-user.
 */
export async function benchOstree(contest: Contest): Promise<void> {
  if (Bun.which(OSTREE) === null) return console.log("pulls of ostree commits: skipped, needs ostree");
  const { folder, ours } = contest;
  const archive = join(folder, "archive");
  const bareUser = join(folder, "bare-user");
  await makeSources(ours, folder, archive, bareUser);
  const local = (source: string, ref: string): Command => {
    return (program, repository) =>
      program === OSTREE
        ? [OSTREE, `--repo=${repository}`, "pull-local", "--untrusted", source, ref]
        : [program, "--repo", repository, "ostree", "pull-local", source, ref];
  };
  for (const reference of [contest.reference, OSTREE]) {
    const pair = { ...contest, reference };
    const beside = reference === OSTREE ? ", ostree" : "";
    const run = (name: string, command: Command) =>
      compare({ name: `${name}${beside}`, prepare: emptyRepository, command }, pair);
    await run("pull-local, archive", local(archive, FIRST));
    await run("pull-local, bare-user", local(bareUser, FIRST));
    await benchHttp(pair, archive, beside, 0);
    await benchHttp({ ...pair, rounds: 1 }, archive, beside, LATENCY_MS);
  }
  for (const path of [archive, bareUser]) rmSync(path, { recursive: true });
}

/** Pulls of both commits over HTTP, and how many requests each took. */
async function benchHttp(contest: Contest, archive: string, beside: string, latency: number): Promise<void> {
  using server = await startLatencyServer(archive, latency);
  const remote = (ref: string): Command => {
    return (program, repository) =>
      program === OSTREE
        ? [OSTREE, `--repo=${repository}`, "pull", "--disable-static-deltas", "bench", ref]
        : [program, "--repo", repository, "ostree", "pull", "--no-delta", server.url, ref];
  };
  const prepared = async (program: string, repository: string) => {
    await emptyRepository(program, repository);
    if (program === OSTREE) await addRemote(repository, server.url);
  };
  const after = latency > 0 ? `, ${latency} ms` : "";
  const name = `HTTP${after}${beside}`;
  await compare({ name, prepare: prepared, command: remote(FIRST) }, contest);
  const withFirst = async (program: string, repository: string) => {
    const base = `${repository}-base`;
    if (!existsSync(base)) {
      await prepared(program, base);
      await measure(remote(FIRST)(program, base));
    }
    rmSync(repository, { recursive: true, force: true });
    // Objects are never written again: the same files do.
    await measure(["cp", "-al", base, repository]);
  };
  await compare({ name: `${name}, update`, prepare: withFirst, command: remote(SECOND) }, contest);
  for (const [who, program] of Object.entries({ ours: contest.ours, reference: contest.reference })) {
    const repository = join(contest.folder, `repository-${who}`);
    await countRequests(`${name}, ${who}`, server, prepared, remote(FIRST), program, repository);
    await countRequests(`${name}, ${who}, update`, server, withFirst, remote(SECOND), program, repository);
    for (const path of [repository, `${repository}-base`]) rmSync(path, { recursive: true });
  }
}

async function countRequests(
  name: string,
  server: LatencyServer,
  prepare: (program: string, repository: string) => Promise<void>,
  command: Command,
  program: string,
  repository: string,
): Promise<void> {
  await prepare(program, repository);
  await server.counts();
  await measure(command(program, repository));
  const { requests, connections, peakConnections } = await server.counts();
  console.log(
    `${name}: ${requests} requests, ${connections} connections, ${peakConnections} at the same time`,
  );
}

async function emptyRepository(program: string, repository: string): Promise<void> {
  rmSync(repository, { recursive: true, force: true });
  if (program === OSTREE) await measure([OSTREE, `--repo=${repository}`, "init", "--mode=bare-user"]);
  else await measure([program, "init", "--insecure", repository]);
}

async function addRemote(repository: string, url: string): Promise<void> {
  await measure([OSTREE, `--repo=${repository}`, "remote", "add", "--no-gpg-verify", "bench", url]);
}

async function makeSources(
  program: string,
  folder: string,
  archive: string,
  bareUser: string,
): Promise<void> {
  const tree = join(folder, "tree");
  const repository = join(folder, "source");
  makeTree(tree);
  await emptyRepository(program, repository);
  const at = [program, "--repo", repository, "ostree"];
  const commit = (ref: string, parent: string) =>
    measure([...at, "commit", "--dir", tree, "--no-xattrs", "--reference", ref, "--parent", parent]);
  const write = (ref: string, to: string, mode: string) =>
    measure([...at, "export", ref, to, "--mode", mode, "--reference", ref]);
  await commit(FIRST, "none");
  changeTree(tree);
  await commit(SECOND, FIRST);
  for (const ref of [FIRST, SECOND]) await write(ref, archive, "archive");
  await write(FIRST, bareUser, "bare-user");
  await measure([OSTREE, `--repo=${archive}`, "summary", "-u"]);
  for (const path of [tree, repository]) rmSync(path, { recursive: true });
}

if (import.meta.main) {
  const folder = process.env.BENCH_FOLDER ?? "/dev/shm/cfsctl-bench";
  const ours = process.env.CFSCTL ?? join(PROJECT, "dist/cfsctl");
  const reference = findReference();
  if (!existsSync(ours) || reference === undefined)
    throw new Error(
      "dist/cfsctl and the reference are needed: `npm run build`, test/interop/install-reference",
    );
  mkdirSync(folder, { recursive: true });
  printHead();
  await benchOstree({ ours, reference, folder, rounds: Number(process.env.BENCH_ROUNDS ?? 5) });
  rmSync(folder, { recursive: true, force: true });
}
