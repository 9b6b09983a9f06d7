// Usage: node client.ts http://HOST:PORT USER (Node 24, Deno and Bun run it as it is)

interface Item {
  item: string;
  score: number;
}

interface Answer {
  items: Item[];
  variant: string;
  degraded: string[];
}

class GondolaError extends Error {}

async function ask<T>(url: URL, init: RequestInit = {}): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000), ...init });
  const body = await response.json();
  if (!response.ok) {
    // What is wrong and what to do, and the request's id for the server's log.
    const { code, message } = body.error;
    throw new GondolaError(`${code}: ${message} (request ${response.headers.get("x-request-id")})`);
  }
  return body as T;
}

function at(base: string, path: string, query: Record<string, string> = {}): URL {
  const url = new URL(path, base);
  url.search = new URLSearchParams(query).toString();
  return url;
}

const [base, user] = process.argv.slice(2);

// The best items for a user.
const answer = await ask<Answer>(at(base, "/v1/recommend", { user, k: "3" }));
for (const { item, score } of answer.items) {
  console.log(item, score);
}
const first = answer.items[0].item;

// Items like the first of them.
const similar = await ask<Answer>(at(base, "/v1/similar", { item: first, k: "3" }));
console.log("similar:", ...similar.items.map(({ item }) => item));

// The user clicked on it: in their next answer. Sent again under the same event_id it counts once.
const interactions = [{ event_id: "typescript-1", user, item: first, type: "click" }];
const receipt = await ask<{ taken: number }>(at(base, "/v1/interactions"), {
  method: "POST",
  body: JSON.stringify({ interactions }),
});
console.log("taken:", receipt.taken);

try {
  await ask<Answer>(at(base, "/v1/similar", { item: "no such item" }));
} catch (error) {
  console.log("refused:", (error as GondolaError).message);
}
