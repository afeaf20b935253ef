import { CfsError, withContext } from "../../errors.ts";
import { Fetcher, type FetcherOptions } from "../../http/fetcher.ts";
import { parseRepositoryUrl } from "./remote-url.ts";

const PREFIX = "mirrorlist=";
const MAX_LIST_SIZE = 1024 * 1024;
const MAX_MIRRORS = 1000;

/**
 * The URLs of a repository.
 * @param text a URL, or `mirrorlist=` and that of a text with a URL in each line, which is fetched.
 * @throws CfsError Invalid, NotFound, Network
 */
export async function findMirrors(text: string, options: Omit<FetcherOptions, "mirrors">): Promise<URL[]> {
  if (!text.startsWith(PREFIX)) return [parseRepositoryUrl(text)];
  const url = parseRepositoryUrl(text.slice(PREFIX.length), "the URL of the list of mirrors");
  const fetcher = new Fetcher({ ...options, mirrors: [url] });
  const list = await fetcher.bytes({ path: undefined, what: "the list of mirrors" }, MAX_LIST_SIZE);
  try {
    return parseMirrorList(Buffer.from(list).toString("utf8"));
  } catch (error) {
    throw withContext(url.host, error);
  }
}

function parseMirrorList(text: string): URL[] {
  const lines = text.split("\n").map((line) => line.trim());
  const urls = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (urls.length === 0) throw new CfsError("Invalid", "the list of mirrors is empty");
  return urls.slice(0, MAX_MIRRORS).map((line) => parseRepositoryUrl(line, "a line of the list of mirrors"));
}
