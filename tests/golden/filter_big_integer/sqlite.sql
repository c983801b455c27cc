SELECT concat('{"name":', json_quote(t0."name"), ',"barcode":', CASE WHEN t0."barcode" IS NULL THEN 'null' ELSE concat('"', t0."barcode", '"') END, '}'), t0."barcode", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."barcode" > ?3)
ORDER BY t0."barcode" DESC NULLS FIRST, t0."id" DESC
LIMIT ?4
