SELECT concat('{"name":', json_quote(t0."name"), ',"cost":{"amount":', t0."cost", ',"currency":"EUR"}}'), t0."cost", t0."id"
FROM "products" AS t0
WHERE t0."cost" < ?1
ORDER BY t0."cost" DESC, t0."id" DESC
LIMIT ?2
