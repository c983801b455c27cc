SELECT concat('{"id":"', t0."id", '","name":', json_quote(t0."name"), ',"state":', json_quote(t0."state"), '}'), t0."_version"
FROM "products" AS t0
WHERE t0."id" = ?1
