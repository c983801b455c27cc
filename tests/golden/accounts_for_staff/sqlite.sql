SELECT concat('{"name":', json_quote(t0."name"), ',"email":', json_quote(t0."email"), ',"roles":', t0."roles", ',"born":', json_quote(t0."born"), '}'), t0."name", t0."id"
FROM "customers" AS t0
ORDER BY t0."name" DESC, t0."id" DESC
LIMIT ?1
