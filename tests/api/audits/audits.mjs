// Prints what the audits of graphql-http say of the server at the address that is given, as one JSON object.
import { serverAudits } from "graphql-http";

const url = process.argv[2];
const results = [];
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const result = await audit.fn();
  const body = result.status === "ok" ? "" : `${result.reason} (HTTP ${result.response?.status})`;
  results.push({ id: audit.id, name: audit.name, status: result.status, said: body });
}
console.log(JSON.stringify(results));
