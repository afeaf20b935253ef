import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bodyReader } from "../../src/http/reply-body.ts";
import { parseReplyHead } from "../../src/http/reply-head.ts";

const head = (lines: string[], method = "GET") => parseReplyHead(lines.join("\r\n"), method);

describe("head of a reply", () => {
  test.each([
    ["a length", ["HTTP/1.1 200 OK", "Content-Length: 12"], { size: 12 }, true],
    ["chunks", ["HTTP/1.1 200 OK", "transfer-encoding:\tChunked"], "chunked", true],
    [
      "both: chunks, and the connection is not used again",
      ["HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"],
      "chunked",
      false,
    ],
    [
      "the same length twice",
      ["HTTP/1.1 200 OK", "Content-Length: 1", "content-length: 1"],
      { size: 1 },
      true,
    ],
    ["neither", ["HTTP/1.1 200 OK"], { size: -1 }, true],
    ["no content", ["HTTP/1.1 204 No Content", "Content-Length: 9"], { size: 0 }, true],
    ["not modified", ["HTTP/1.1 304", "Content-Length: 9"], { size: 0 }, true],
    ["the server closes", ["HTTP/1.1 200 OK", "Content-Length: 1", "Connection: Close"], { size: 1 }, false],
    [
      "among other options",
      ["HTTP/1.1 200 OK", "Content-Length: 1", "Connection: TE, close"],
      { size: 1 },
      false,
    ],
    ["HTTP/1.0", ["HTTP/1.0 200 OK", "Content-Length: 1"], { size: 1 }, false],
    [
      "HTTP/1.0 that keeps it open",
      ["HTTP/1.0 200 OK", "Content-Length: 1", "Connection: keep-alive"],
      { size: 1 },
      true,
    ],
    ["another protocol from now on", ["HTTP/1.1 101 Switching"], { size: 0 }, false],
  ] as const)("%s", (_, lines, body, keepsOpen) => {
    expect(head([...lines])).toMatchObject({ body, keepsOpen });
  });

  test("of a request for the head only", () => {
    expect(head(["HTTP/1.1 200 OK", "Content-Length: 12"], "HEAD").body).toEqual({ size: 0 });
  });

  test("keeps all fields as they were", () => {
    expect(head(["HTTP/1.1 200 OK", "A: b:c ", "a:d", "X:"]).fields).toEqual([
      ["A", "b:c"],
      ["a", "d"],
      ["X", ""],
    ]);
  });

  test.each([
    ["no status", ["HTTP/2 200", "A: b"]],
    ["no number", ["HTTP/1.1 2000 OK"]],
    ["nothing", [""]],
    ["a field without a name", ["HTTP/1.1 200 OK", ": b"]],
    ["a field without a colon", ["HTTP/1.1 200 OK", "abc"]],
    ["a space before the colon", ["HTTP/1.1 200 OK", "Content-Length : 5"]],
    ["a folded field", ["HTTP/1.1 200 OK", "A: b", " c: d"]],
    ["two lengths", ["HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2"]],
    ["a list of lengths", ["HTTP/1.1 200 OK", "Content-Length: 1, 1"]],
    ["a negative length", ["HTTP/1.1 200 OK", "Content-Length: -1"]],
    ["an empty length", ["HTTP/1.1 200 OK", "Content-Length:"]],
    ["an unknown encoding", ["HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"]],
    ["chunks twice", ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]],
  ])("refused: %s", (_, lines) => {
    expect(() => head(lines)).toThrow("its reply is malformed");
  });

  test("whatever it is, it is understood or refused", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.boolean(), (text, isStatus) => {
        try {
          parseReplyHead(isStatus ? `HTTP/1.1 200\r\n${text}` : text, "GET");
        } catch (error) {
          expect((error as Error).message).toContain("its reply is malformed");
        }
      }),
    );
  });
});

/** Gives a body in pieces. @returns what was in it, and how much of the data belonged to it */
function cut(framing: "chunked" | { size: number }, data: Buffer, cuts: readonly number[]) {
  const reader = bodyReader(framing);
  const parts: Uint8Array[] = [];
  let used = 0;
  let start = 0;
  for (const end of [...cuts.filter((at) => at < data.length).sort((a, b) => a - b), data.length]) {
    if (reader.isComplete) break;
    used += reader.read(data.subarray(start, end), (piece) => parts.push(piece));
    start = end;
  }
  return { text: Buffer.concat(parts).toString("latin1"), used, isComplete: reader.isComplete };
}

describe("body of a reply", () => {
  test("chunks, cut anywhere", () => {
    const chunk = fc.string({ minLength: 1, maxLength: 40, unit: "binary-ascii" });
    fc.assert(
      fc.property(fc.array(chunk), fc.array(fc.nat(200)), fc.boolean(), (chunks, cuts, withTrailer) => {
        const body = chunks.map((text) => `${text.length.toString(16)};x=y\r\n${text}\r\n`).join("");
        const end = `0\r\n${withTrailer ? "A: b\r\n" : ""}\r\n`;
        const found = cut("chunked", Buffer.from(`${body}${end}HTTP`, "latin1"), cuts);
        expect(found.text).toBe(chunks.join(""));
        expect(found.isComplete).toBe(true);
        expect(found.used).toBeLessThanOrEqual(body.length + end.length);
      }),
    );
  });

  test("tiny chunks, in one piece", () => {
    const pieces: string[] = [];
    const data = Buffer.from(`${"1\r\nx\r\n2\r\nyz\r\n".repeat(1000)}3\r\na`);
    bodyReader("chunked").read(data, (piece) => pieces.push(Buffer.from(piece).toString("latin1")));
    expect(pieces).toEqual([`${"xyz".repeat(1000)}a`]);
  });

  test("a length, and no byte more", () => {
    expect(cut({ size: 5 }, Buffer.from("hello, world"), [2])).toEqual({
      text: "hello",
      used: 5,
      isComplete: true,
    });
    expect(cut({ size: 5 }, Buffer.from("hell"), [])).toEqual({ text: "hell", used: 4, isComplete: false });
    expect(bodyReader({ size: 0 }).isComplete).toBe(true);
  });

  test("up to the end of the connection", () => {
    expect(cut({ size: -1 }, Buffer.from("hello"), [1])).toMatchObject({ text: "hello", isComplete: false });
    expect(bodyReader({ size: -1 }).endsWithConnection).toBe(true);
  });

  test.each([
    ["no size", "x\r\n"],
    ["an empty size", "\r\n"],
    ["a negative size", "-1\r\n"],
    ["a huge size", "1000000000000\r\n"],
    ["more than its size", "1\r\nab\r\n"],
    ["an endless extension", `1;${"x".repeat(5000)}`],
    ["an endless trailer", `0\r\n${"a: b\r\n".repeat(20_000)}`],
  ])("refused: a chunk with %s", (_, text) => {
    expect(() => cut("chunked", Buffer.from(text), [])).toThrow("its reply is malformed");
  });
});
