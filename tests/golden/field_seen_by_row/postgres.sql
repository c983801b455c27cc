SELECT concat('{"text":', to_json(t0."text")::text, ',"remark":', coalesce(to_json(CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END)::text, 'null'), '}'), (t0."stars")::text, (t0."id")::text
FROM "reviews" AS t0
WHERE ((t0."hidden" <> $2::boolean
    OR t0."author_id" = $1::uuid)
  AND t0."product_id" IN (SELECT t1."id"
    FROM "products" AS t1
    WHERE (t1."state" = $3::text
      AND (t1."released_at" IS NULL
        OR $4::timestamptz >= t1."released_at")
      AND t1."name" = $5::text)))
ORDER BY t0."stars" DESC, t0."id" DESC
LIMIT $6::bigint
