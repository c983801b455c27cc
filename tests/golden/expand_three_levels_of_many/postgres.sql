SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"products":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t2."name"), ',"reviews":', (SELECT concat('[', string_agg(j, ','), ']')
              FROM (SELECT concat('{"stars":', t4."stars", ',"author":{"name":', to_json(t5."name"), '}}') AS j
                FROM "reviews" AS t4
                LEFT JOIN "customers" AS t5 ON t5."id" = t4."author_id"
                WHERE t4."product_id" = t2."id"
                AND t4."hidden" = $1::boolean
                ORDER BY t4."stars", t4."text", t4."id"
                LIMIT $2::bigint) AS rows), '}') AS j
          FROM "products" AS t2
          WHERE t2."category_id" = t0."id"
          AND EXISTS (SELECT 1
            FROM "reviews" AS t3
            WHERE t3."product_id" = t2."id"
            AND t3."stars" >= $3::bigint)
          ORDER BY t2."price" DESC, t2."id" DESC
          LIMIT $4::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "categories" AS t0
    WHERE t0."parent_id" IN (SELECT t1."id"
      FROM "categories" AS t1
      WHERE t1."slug" = $5::text)
    ORDER BY t0."id"
    LIMIT $6::bigint) AS page) AS numbered
