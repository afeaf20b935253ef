import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseChallenges } from "../../../src/oci/registry/challenge.ts";

test.each<[header: string, challenges: [scheme: string, parameters: Record<string, string>][]]>([
  ["", []],
  ["Basic", [["basic", {}]]],
  ['Basic realm="x y, z"', [["basic", { realm: "x y, z" }]]],
  [
    'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"',
    [
      [
        "bearer",
        { realm: "https://auth.example/token", service: "registry", scope: "repository:a/b:pull,push" },
      ],
    ],
  ],
  ["BEARER Realm=abc , SERVICE = def", [["bearer", { realm: "abc", service: "def" }]]],
  [
    'Negotiate, Basic realm="a", Bearer realm="b",error="invalid_token"',
    [
      ["negotiate", {}],
      ["basic", { realm: "a" }],
      ["bearer", { realm: "b", error: "invalid_token" }],
    ],
  ],
  [
    "Negotiate YWJj/+==, Basic realm=x",
    [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  ['Basic realm="with \\"quotes\\" and \\\\"', [["basic", { realm: 'with "quotes" and \\' }]]],
  ['Basic realm="first",realm="second"', [["basic", { realm: "first" }]]],
  [
    'Basic realm="never closed',
    [
      ["basic", {}],
      ["realm", {}],
    ],
  ],
  [",, Basic realm=x,,", [["basic", { realm: "x" }]]],
])("%s", (header, challenges) => {
  const found = parseChallenges(header).map(({ scheme, parameters }) => [
    scheme,
    Object.fromEntries(parameters),
  ]);
  expect(found).toEqual(challenges);
});

test("any header is read to its end", () => {
  const part = fc.constantFrom("Basic", "Bearer", " ", ",", "=", '"', "\\", "a", "realm=", "==", "é");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
      expect(parseChallenges(parts.join("")).length).toBeLessThanOrEqual(parts.length);
    }),
  );
});

test("a long header takes no long time", () => {
  const started = performance.now();
  parseChallenges("a ,".repeat(100_000));
  parseChallenges(`Basic realm="${"\\".repeat(100_000)}`);
  expect(performance.now() - started).toBeLessThan(500);
});
