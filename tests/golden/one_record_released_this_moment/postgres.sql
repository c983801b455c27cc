SELECT concat('{"name":', to_json(t0."name"), ',"released_at":', CASE WHEN t0."released_at" IS NULL THEN 'null' ELSE concat('"', to_char((t0."released_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '"') END, ',"deposit":', CASE WHEN t0."deposit" IS NULL THEN 'null' ELSE concat('{"amount":', t0."deposit", ',"currency":"', t0."deposit_currency", '"}') END, ',"brewing":', CASE WHEN t0."brewing" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t0."brewing" < 0 THEN '-' ELSE '' END, 'PT', abs(t0."brewing") / 1000000, CASE WHEN abs(t0."brewing") % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(t0."brewing") % 1000000)::text, 6, '0') END, 'S"') END, ',"weight":', CASE WHEN t0."weight" IS NULL THEN 'null' ELSE concat('"', round((t0."weight")::numeric, 3), '"') END, '}'), t0."_version"
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."id" = $3::uuid)
