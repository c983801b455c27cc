SELECT concat('{"name":', to_json(t0."name")::text, ',"barcode":', coalesce('"' || (t0."barcode")::text || '"', 'null'), '}'), (t0."barcode")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."barcode" > $3::bigint)
ORDER BY t0."barcode" DESC, t0."id" DESC
LIMIT $4::bigint
