SELECT string_agg(j, chr(30)) FILTER (WHERE n < $8::bigint), count(*), max(k0) FILTER (WHERE n = $8::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"related":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t2."name"), ',"related":', (SELECT concat('[', string_agg(j, ','), ']')
              FROM (SELECT concat('{"name":', to_json(t4."name"), '}') AS j
                FROM "products_related" AS t3
                JOIN "products" AS t4 ON t4."id" = t3."other_product_id"
                WHERE t3."product_id" = t2."id"
                AND (t4."state" = $1::text
                  AND (t4."released_at" IS NULL
                    OR $2::timestamptz >= t4."released_at"))
                ORDER BY t4."id"
                LIMIT $3::bigint) AS rows), '}') AS j
          FROM "products_related" AS t1
          JOIN "products" AS t2 ON t2."id" = t1."other_product_id"
          WHERE t1."product_id" = t0."id"
          AND (t2."state" = $4::text
            AND (t2."released_at" IS NULL
              OR $2::timestamptz >= t2."released_at"))
          ORDER BY t2."name", t2."id"
          LIMIT $5::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $6::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."id" = ANY($7::uuid[]))
    ORDER BY t0."id"
    LIMIT $8::bigint) AS page) AS numbered
