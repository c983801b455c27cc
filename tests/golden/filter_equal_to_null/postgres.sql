SELECT concat('{"name":', to_json(t0."name")::text, '}'), (t0."id")::text
FROM "categories" AS t0
WHERE t0."parent_id" IS NULL
ORDER BY t0."id"
LIMIT $1::bigint
