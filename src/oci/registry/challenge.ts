/** One way of authenticating that a server offers (RFC 9110, 11.6.1). */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** By name in lower case; the first of several counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const SPACE = /[ \t]*/y;
const SEPARATORS = /[ \t,]*/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
/** `token68`: credentials without a name, as of "Negotiate". */
const TOKEN68 = /[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|$))/y;

const MAX_HEADER = 16 * 1024;

/** The challenges of a `WWW-Authenticate` header. What can't be understood ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, MAX_HEADER);
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  const challenges: Challenge[] = [];
  for (;;) {
    take(SEPARATORS);
    const scheme = take(TOKEN)?.[0];
    if (scheme === undefined) return challenges;
    const parameters = new Map<string, string>();
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
    take(SPACE);
    for (;;) {
      const start = at;
      take(SEPARATORS);
      const name = take(TOKEN)?.[0];
      if (name === undefined || take(EQUALS) === null) {
        // it is the next scheme, or there is nothing more
        at = start;
        break;
      }
      const quoted = take(QUOTED);
      const value = quoted === null ? take(TOKEN)?.[0] : quoted[1]!.replace(/\\(.)/g, "$1");
      if (value === undefined) {
        at = start;
        break;
      }
      const key = name.toLowerCase();
      if (!parameters.has(key)) parameters.set(key, value);
    }
    if (parameters.size === 0) take(TOKEN68);
  }
}
