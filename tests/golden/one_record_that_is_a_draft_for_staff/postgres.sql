SELECT concat('{"id":', '"' || (t0."id")::text || '"', ',"name":', to_json(t0."name")::text, ',"state":', to_json(t0."state")::text, '}'), t0."_version"
FROM "products" AS t0
WHERE t0."id" = $1::uuid
