SELECT concat('{"text":', to_json(t0."text")::text, '}'), (t0."id")::text
FROM "messages" AS t0
ORDER BY t0."id"
LIMIT $1::bigint
