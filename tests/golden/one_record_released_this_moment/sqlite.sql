SELECT concat('{"name":', json_quote(t0."name"), ',"released_at":', json_quote(t0."released_at"), ',"deposit":', CASE WHEN t0."deposit" IS NULL THEN 'null' ELSE concat('{"amount":', t0."deposit", ',"currency":"', t0."deposit_currency", '"}') END, ',"brewing":', CASE WHEN t0."brewing" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t0."brewing" < 0 THEN '-' ELSE '' END, 'PT', abs(t0."brewing") / 1000000, CASE WHEN abs(t0."brewing") % 1000000 = 0 THEN '' ELSE printf('.%06d', abs(t0."brewing") % 1000000) END, 'S"') END, ',"weight":', CASE WHEN t0."weight" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t0."weight" < 0 THEN '-' ELSE '' END, abs(t0."weight") / 1000, '.', printf('%03d', abs(t0."weight") % 1000), '"') END, '}'), t0."_version"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."id" = ?3)
