SELECT string_agg(j, chr(30)) FILTER (WHERE n < $7::bigint), count(*), max(k0) FILTER (WHERE n = $7::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", '}') AS j, (t0."id")::text AS k0
    FROM "orders" AS t0
    WHERE (t0."customer_id" = $1::uuid
      AND EXISTS (SELECT 1
        FROM "order_items" AS t1
        WHERE t1."order_id" = t0."id"
        AND (t0."customer_id" = $1::uuid
          AND t1."quantity" = $2::bigint
          AND EXISTS (SELECT 1
            FROM "products" AS t2
            WHERE t2."id" = t1."product_id"
            AND (t2."state" = $3::text
              AND (t2."released_at" IS NULL
                OR $4::timestamptz >= t2."released_at")
              AND EXISTS (SELECT 1
                FROM "reviews" AS t3
                WHERE t3."product_id" = t2."id"
                AND ((t3."hidden" <> $5::boolean
                    OR t3."author_id" = $1::uuid)
                  AND t3."stars" < $6::bigint)))))))
    ORDER BY t0."id"
    LIMIT $7::bigint) AS page) AS numbered
