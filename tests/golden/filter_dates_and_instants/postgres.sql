SELECT concat('{"name":', to_json(t0."name")::text, ',"harvested":', coalesce('"' || (t0."harvested")::text || '"', 'null'), ',"released_at":', coalesce('"' || to_char((t0."released_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null'), '}'), (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."harvested" < $3::date
  AND t0."released_at" > $4::timestamptz)
ORDER BY t0."id"
LIMIT $5::bigint
