SELECT concat('{"name":', to_json(t0."name")::text, ',"cost":', '{"amount":' || (t0."cost")::text || ',"currency":"' || 'EUR' || '"}', '}'), (t0."cost")::text, (t0."id")::text
FROM "products" AS t0
WHERE t0."cost" < $1::bigint
ORDER BY t0."cost" DESC, t0."id" DESC
LIMIT $2::bigint
