SELECT concat('{"text":', json_quote(t0."text"), '}'), t0."id"
FROM "messages" AS t0
ORDER BY t0."id"
LIMIT ?1
