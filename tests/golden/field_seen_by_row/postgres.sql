SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1), max(k1) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"text":', to_json(t0."text"), ',"remark":', coalesce((to_json(CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END))::text, 'null'), '}') AS j, (t0."stars")::text AS k0, (t0."id")::text AS k1
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
    LIMIT $6::bigint) AS page) AS numbered
