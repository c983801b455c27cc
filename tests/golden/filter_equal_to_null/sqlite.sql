SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "categories" AS t0
WHERE t0."parent_id" IS NULL
ORDER BY t0."id"
LIMIT ?1
