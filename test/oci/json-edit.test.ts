import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { setJsonMember } from "../../src/oci/json-edit.ts";

const set = (text: string, path: string[], value: string | number) =>
  new TextDecoder().decode(setJsonMember(new TextEncoder().encode(text), path, value, "config"));

describe("setting a member of a JSON text", () => {
  test.each([
    ["adds it last", '{"a":1}', ["b"], 2, '{"a":1,"b":2}'],
    ["into an empty object", "{ }", ["b"], "x", '{ "b":"x"}'],
    ["replaces only the value", '{ "b" : [1, {"b":2}] ,"c":1.0}', ["b"], 2, '{ "b" : 2 ,"c":1.0}'],
    ["keeps numbers of any size", '{"n":12345678901234567890,"e":1e400}', ["b"], 2, '{"n":12345678901234567890,"e":1e400,"b":2}'], // biome-ignore format: one line a case
    ["keeps the order of names that are numbers", '{"2":0,"1":0}', ["0"], 0, '{"2":0,"1":0,"0":0}'],
    ["makes what is on the way", '{"a":1}', ["c", "d", "e"], "f", '{"a":1,"c":{"d":{"e":"f"}}}'],
    ["takes null for nothing", '{"c":null}', ["c", "d"], 1, '{"c":{"d":1}}'],
    ["goes into objects", '{"c":{"d":{"x":"}\\""}}}', ["c", "d", "e"], 1, '{"c":{"d":{"x":"}\\"","e":1}}}'],
    ["of several of the same name, the last one", '{"a":1,"a":2}', ["a"], 3, '{"a":1,"a":3}'],
    ["knows names by their meaning", '{"\\u0061":1}', ["a"], 2, '{"\\u0061":2}'],
    ["escapes what it writes", "{}", ['"'], "\n", '{"\\"":"\\n"}'],
  ] as [string, string, string[], string | number, string][])("%s", (_, text, path, value, expected) => {
    expect(set(text, path, value)).toBe(expected);
  });

  test("whatever the object is, readers see this one change", () => {
    const key = fc.string().filter((name) => name !== "__proto__");
    const object = fc.dictionary(key, fc.jsonValue());
    fc.assert(
      fc.property(object, key, key, fc.boolean(), (drawn, first, second, indented) => {
        const text = JSON.stringify(drawn, null, indented ? 2 : 0);
        // -0 is not written as such
        const value = JSON.parse(text);
        const old = value[first];
        const isObject = typeof old === "object" && !Array.isArray(old);
        expect(JSON.parse(set(text, [first], "x"))).toEqual({ ...value, [first]: "x" });
        if (old !== undefined && !isObject) return;
        expect(JSON.parse(set(text, [first, second], 7))).toEqual({
          ...value,
          [first]: { ...old, [second]: 7 },
        });
      }),
    );
  });

  test.each(["", "[]", "null", "{", '{"a":1}x', "\xff"])("%p is refused", (text) => {
    expect(() => set(text, ["a"], 1)).toThrow();
  });

  test("something else than an object on the way is refused", () => {
    expect(() => set('{"a":[]}', ["a", "b"], 1)).toThrow('config: "a" is not an object');
  });
});
