SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND EXISTS (SELECT 1
        FROM "product_labels" AS t1
        JOIN "labels" AS t2 ON t2."id" = t1."label_id"
        WHERE t1."product_id" = t0."id"
        AND t1."hidden" <> $3::boolean
        AND (t2."internal" <> $4::boolean
          AND t2."name" = $5::text)))
    ORDER BY t0."id"
    LIMIT $6::bigint) AS page) AS numbered
