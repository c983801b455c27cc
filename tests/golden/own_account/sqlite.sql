SELECT concat('{"id":"', t0."id", '","created_at":"', t0."created_at", '","updated_at":"', t0."updated_at", '","email":', json_quote(t0."email"), ',"name":', json_quote(t0."name"), ',"city":', json_quote(t0."city"), ',"born":', json_quote(t0."born"), '}'), t0."id"
FROM "customers" AS t0
WHERE t0."id" = ?1
ORDER BY t0."id"
LIMIT ?2
