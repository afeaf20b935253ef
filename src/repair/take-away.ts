import { display } from "../bytes.ts";
import type { AffectedFinding } from "../repository/affected.ts";
import type { Finding, LinkName } from "../repository/findings.ts";
import { linkTarget, openDirectoryPath } from "../repository/links.ts";
import type { LostAndFound } from "../repository/lost-found.ts";
import { isIntactObject, NOT_A_DIRECTORY } from "../repository/object-check.ts";
import { entryOfRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { fsync, tryAccessat, unlinkat } from "../sys/file.ts";
import { emptyStatus, isRegular, tryFstatat } from "../sys/stat.ts";
import { objectPath } from "../verity/digest.ts";
import type { Action } from "./actions.ts";

/** Kinds of findings about what does not belong where it is. */
const STRAYS: ReadonlySet<string> = new Set([
  "object-invalid-name",
  "unexpected-file",
  "unexpected-file-type",
  "entry-not-symlink",
  NOT_A_DIRECTORY,
]);

/** Moves what does not belong in the repository to `lost+found`. */
export function moveStrays(
  strays: readonly Finding[],
  lostFound: LostAndFound,
  onAction: (action: Action) => void,
): void {
  for (const { path } of strays) {
    onAction({ what: "moved", path: display(path), where: lostFound.move(path) });
  }
}

/** Findings about files that are no objects and no links, also in the place of an object. */
export function straysAmong({ dir }: Repository, findings: readonly Finding[]): Finding[] {
  const status = emptyStatus();
  return findings.filter(({ kind, path, object }) => {
    if (STRAYS.has(kind)) return true;
    if (object === undefined || path !== `objects/${objectPath(object)}`) return false;
    return tryFstatat(dir.fd, path, status) === 0 && !isRegular(status);
  });
}

/** Findings about objects that are damaged, and that no ref needs: what took their place may have another digest. */
export function uselessAmong(
  repository: Repository,
  findings: readonly AffectedFinding[],
): readonly AffectedFinding[] {
  return findings.filter(
    ({ path, object, affected }) =>
      affected.length === 0 &&
      object !== undefined &&
      path === `objects/${objectPath(object)}` &&
      repository.objects.has(object) &&
      !isIntactObject(repository, object),
  );
}

/** The links among findings that lead nowhere: refs first, since they may lead to the others. */
export function danglingAmong(repository: Repository, findings: readonly Finding[]): LinkName[] {
  const links = new Map(findings.flatMap(({ path, link }) => (link === undefined ? [] : [[path, link]])));
  return [...links.values()]
    .filter((link) => leadsNowhere(repository, link))
    .sort((a, b) => Number(isEntry(a)) - Number(isEntry(b)));
}

function isEntry({ name }: LinkName): boolean {
  return !name.includes("/");
}

/** Whether there is a link that does not lead to where such a link has to. */
function leadsNowhere({ dir }: Repository, { category, name }: LinkName): boolean {
  const path = `${category}/${name}`;
  const target = linkTarget(dir.fd, path);
  if (target === undefined) return false;
  if (tryAccessat(dir.fd, path, 0) !== 0) return true;
  return !isEntry({ category, name }) && entryOfRef(path.split("/"), target) === undefined;
}

/**
 * Removes links that lead nowhere. Nobody else uses the repository meanwhile; one that somebody has put right before is
 * left alone.
 */
export function dropLinks(
  repository: Repository,
  links: readonly LinkName[],
  onAction: (action: Action) => void,
): void {
  if (links.length === 0) return;
  repository.exclusively(() => {
    for (const link of links) {
      if (!leadsNowhere(repository, link)) continue;
      const path = `${link.category}/${link.name}`;
      const where = linkTarget(repository.dir.fd, path)!;
      const components = path.split("/");
      const name = components.pop()!;
      using parent = openDirectoryPath(repository.dir, components, false);
      unlinkat(parent.fd, name);
      fsync(parent);
      onAction({ what: "dropped", path: display(path), where: display(where) });
    }
  });
}
