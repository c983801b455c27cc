SELECT string_agg(j, chr(30)) FILTER (WHERE n < $5::bigint), count(*), max(k0) FILTER (WHERE n = $5::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND EXISTS (SELECT 1
        FROM "reviews" AS t1
        WHERE t1."product_id" = t0."id"
        AND (t1."hidden" <> $3::boolean
          AND NOT (t1."stars" >= $4::bigint))))
    ORDER BY t0."id"
    LIMIT $5::bigint) AS page) AS numbered
