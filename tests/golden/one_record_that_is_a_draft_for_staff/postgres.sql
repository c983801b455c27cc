SELECT concat('{"id":"', t0."id", '","name":', to_json(t0."name"), ',"state":', to_json(t0."state"), '}'), t0."_version"
FROM "products" AS t0
WHERE t0."id" = $1::uuid
