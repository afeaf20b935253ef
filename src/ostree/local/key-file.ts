/**
 * The groups of a key file as GLib has them (the "Key-value file parser" of its reference manual), each with its keys.
 * Lines that are neither are left out. Of groups and keys that are there twice, the last value counts; names are
 * folded to lower case, but for what stands in quotes: `[remote "Name"]`.
 */
export function parseKeyFile(text: string): Map<string, Map<string, string>> {
  const groups = new Map<string, Map<string, string>>();
  let group: Map<string, string> | undefined;
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    const header = /^\[([^[\]]*)\]$/.exec(line);
    if (header !== null) {
      const name = header[1]!.replace(/^[^"]*/, (unquoted) => unquoted.toLowerCase());
      group = groups.get(name) ?? new Map();
      groups.set(name, group);
      continue;
    }
    const equals = line.indexOf("=");
    if (equals > 0)
      group?.set(line.slice(0, equals).trim().toLowerCase(), withoutEscapes(line.slice(equals + 1).trim()));
  }
  return groups;
}

const ESCAPES: Readonly<Record<string, string>> = { s: " ", n: "\n", t: "\t", r: "\r", "\\": "\\" };

function withoutEscapes(value: string): string {
  return value.replace(/\\(.)/g, (whole, c: string) => ESCAPES[c] ?? whole);
}
