SELECT concat('{"name":', to_json(t0."name")::text, ',"released_at":', coalesce('"' || to_char((t0."released_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null'), ',"deposit":', coalesce('{"amount":' || (t0."deposit")::text || ',"currency":"' || (t0."deposit_currency") || '"}', 'null'), ',"brewing":', coalesce('"' || CASE WHEN t0."brewing" < 0 THEN '-' ELSE '' END || 'PT' || (abs(t0."brewing") / 1000000)::text || CASE WHEN abs(t0."brewing") % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(t0."brewing") % 1000000)::text, 6, '0') END || 'S"', 'null'), ',"weight":', coalesce('"' || round((t0."weight")::numeric, 3)::text || '"', 'null'), '}'), t0."_version"
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."id" = $3::uuid)
